"""Tests against the producers' own pipelines: what is right on every image there is right here, to the same logits."""

from pathlib import Path

import pytest
import torch

from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.inspection import inspect_checkpoint
from tests.checkpoints.producers import PRODUCERS, solve_head, write_images

# Relative to the largest logit; images that are resized or cropped otherwise differ by far more.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_images(root)
    return root


@pytest.mark.parametrize("name", PRODUCERS)
def test_a_network_that_is_perfect_with_its_producer_is_perfect_here(name: str, tmp_path: Path, images: Path):
    made = PRODUCERS[name]()
    expected = solve_head(made, images)
    path = made.write(tmp_path)
    found = inspect_checkpoint(path)
    assert found.claims.unused == (), found.to_text()
    store = extract_features(
        path, tmp_path / "x.features", Extraction(data=str(images), workers=0, batch_size=6)
    )
    rows = next(iter(store))
    assert rows.logits is not None
    assert (rows.logits.argmax(1) == rows.labels).all()
    assert (rows.logits - expected).abs().max() < TOLERANCE * expected.abs().max(), found.to_text()
    assert torch.equal(
        rows.labels,
        torch.tensor([made.order.index(one) for one in ("ant", "ant", "bee", "bee", "cat", "cat")]),
    )
