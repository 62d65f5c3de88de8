"""Tests for mixup and CutMix: targets are the shares of the pixels."""

import pytest
import torch

from maxsup_analysis.training.mixing import Mixing

B, K = 6, 4


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.stack([torch.arange(B) % K, torch.arange(B) % 2], 1)


def images() -> torch.Tensor:
    """Image i is i everywhere, so that a pixel tells whose it is."""
    return torch.arange(float(B))[:, None, None, None].expand(B, 1, 7, 9).clone()


def expected_shares(share: float, labels: torch.Tensor) -> torch.Tensor:
    """`share` of the image itself, the rest of the one before it."""
    result = torch.zeros(B, 2, K)
    for i in range(B):
        for column in range(2):
            result[i, column, labels[i, column]] += share
            result[i, column, labels[i - 1, column]] += 1 - share
    return result


@pytest.mark.parametrize("draw", range(5))
def test_mixup_blends_pixels_and_targets_alike(labels: torch.Tensor, draw: int):
    torch.manual_seed(draw)
    mixed, shares = Mixing(0.4, 0.0)(images(), labels, K)
    # Image 1 is 1 share + 0 (1 - share).
    share = float(mixed[1, 0, 0, 0])
    neighbours = torch.arange(B).roll(1)
    assert torch.allclose(mixed[:, 0, 0, 0], share * torch.arange(B) + (1 - share) * neighbours)
    assert torch.allclose(shares, expected_shares(share, labels)) and torch.allclose(
        shares.sum(2), torch.ones(B, 2)
    )


@pytest.mark.parametrize("draw", range(5))
def test_cutmix_counts_pixels(labels: torch.Tensor, draw: int):
    torch.manual_seed(draw)
    mixed, shares = Mixing(0.0, 1.0)(images(), labels, K)
    own = (mixed == images()).flatten(1).float().mean(1)
    assert torch.allclose(own, own[:1].expand(B))
    assert torch.allclose(shares, expected_shares(float(own[0]), labels), atol=1e-6)


def test_with_both_each_has_half_of_the_batches(labels: torch.Tensor):
    blend = Mixing(1.0, 1.0)
    values = [float(blend(images(), labels, K)[0][1].unique().numel()) for _ in range(300)]
    # CutMix leaves image 1 of pixels 0 and 1; mixup makes one value of them.
    whole = sum(value == 1 for value in values)
    assert 110 < whole < 210


def test_a_batch_of_one_is_mixed_with_itself(labels: torch.Tensor):
    mixed, shares = Mixing(0.4, 1.0)(images()[3:4], labels[3:4], K)
    assert torch.allclose(mixed, images()[3:4]) and torch.allclose(shares[0, 0, 3], torch.tensor(1.0))
