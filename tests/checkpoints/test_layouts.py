"""Tests for the opening of checkpoints: every common layout gives the weights that were saved, bit for bit."""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from maxsup_analysis import checkpoints
from maxsup_analysis.errors import InputError
from tests.checkpoints.layouts import LAYOUTS, Built, Layout

OPENED = [layout for layout in LAYOUTS if layout.net is not None]
REFUSED = [layout for layout in LAYOUTS if layout.net is None]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Layout], Built]]:
    """What a layout builds, once per session; nothing of it stays on disk afterwards."""
    root = tmp_path_factory.mktemp("layouts")
    done: dict[str, Built] = {}

    def build(layout: Layout) -> Built:
        if layout.name not in done:
            folder = root / layout.name
            folder.mkdir()
            done[layout.name] = layout.build(folder)
        return done[layout.name]

    yield build
    shutil.rmtree(root)


def opened(layout: Built) -> checkpoints.Checkpoint:
    return checkpoints.open_checkpoint(layout.path, **layout.open_with)  # type: ignore[arg-type]


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal dtype, shape and bytes: -0.0 is not 0.0, and a NaN is itself."""
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(octets(one), octets(other))


def octets(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("layout", OPENED, ids=lambda layout: layout.name)
def test_weights_are_those_that_were_saved(layout: Layout, built: Callable[[Layout], Built]):
    source = built(layout)
    checkpoint = opened(source)
    assert source.expected
    assert set(checkpoint.state_dict) == set(source.expected)
    different = [
        n for n, tensor in source.expected.items() if not same_bits(checkpoint.state_dict[n], tensor)
    ]
    assert different == []
    if source.architecture is not None:
        assert checkpoint.about["architecture"] == source.architecture


@pytest.mark.parametrize("layout", REFUSED, ids=lambda layout: layout.name)
def test_refusals_say_what_the_file_is(layout: Layout, built: Callable[[Layout], Built]):
    source = built(layout)
    with pytest.raises(InputError) as refusal:
        opened(source)
    message = str(refusal.value)
    assert message.count("\n") == 0
    assert source.path.name in message
    said = message.replace(str(source.path), "").replace(source.path.name, "")
    assert source.refusal and re.search(rf"\b{re.escape(source.refusal)}\b", said, re.IGNORECASE)


def test_the_table_of_layouts_is_complete():
    assert {layout.number for layout in LAYOUTS} == set(range(1, 39))
    assert len({layout.number for layout in OPENED}) >= 30
    assert len({layout.net for layout in OPENED}) >= 15
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
