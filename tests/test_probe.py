"""Tests for linear probes: the optimum by its gradient, the choice of the strength, transfer from a checkpoint."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.probe import STRENGTHS, Labelled, _fit, _new_classifier, probe
from maxsup_analysis.transfer import Transfer, transferred


def clouds(n: int, spread: float, seed: int, K: int = 3, D: int = 6) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n * K) % K
    features = 3 * torch.eye(K, D)[labels] + spread * torch.randn(n * K, D, generator=generator)
    return Labelled(features.double(), labels)


def test_strengths_are_those_of_the_protocol():
    assert (
        len(STRENGTHS) == 45 and STRENGTHS[0] == pytest.approx(1e-6) and STRENGTHS[-1] == pytest.approx(1e5)
    )
    ratios = {round(after / before, 6) for before, after in pairwise(STRENGTHS)}
    assert len(ratios) == 1


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("strength", [0.1, 10.0, 300.0])
def test_the_gradient_of_the_penalised_likelihood_is_zero(strength: float, K: int):
    """d/dw_k = sum_i (q_ik - [y_i = k]) x_i + strength w_k and d/db_k = sum_i (q_ik - [y_i = k]), written out."""
    data = clouds(60, 2.0, 0, K)
    x, y = data.features.numpy(), data.labels.numpy()
    fitted = _fit(_new_classifier(), x, y, strength)
    W, b = fitted.coef_, fitted.intercept_
    if K == 2:  # Only the difference of the two rows is kept; at the optimum their sum is 0.
        W, b = np.concatenate([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2])
    z = x @ W.T + b
    q = np.exp(z - z.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    residual = q - np.eye(K)[y]
    penalty = strength * W
    assert np.abs(residual.T @ x + penalty).max() < min(1.01e-6 * len(y), 2e-3 * np.abs(penalty).max())
    assert np.abs(residual.sum(0)).max() < 1.01e-6 * len(y)


def test_accuracy_and_its_error_by_hand():
    train, test = clouds(100, 2.0, 1), clouds(80, 2.0, 2)
    found = probe(train, test)
    mean, deviation = train.features.mean(0), train.features.std(0, correction=0)
    standard = [((part.features - mean) / deviation).numpy() for part in (train, test)]
    fitted = _fit(_new_classifier(), standard[0], train.labels.numpy(), found.strength)
    hits = np.equal(fitted.predict(standard[1]), test.labels.numpy())
    assert found.accuracy.value == pytest.approx(hits.mean())
    variance = sum(80 * hits[test.labels.numpy() == k].var(ddof=1) for k in range(3)) / 240**2
    assert found.accuracy.standard_error == pytest.approx(variance**0.5, rel=1e-10)


def test_the_strength_is_the_best_on_held_out_samples_and_the_largest_of_several():
    """One feature tells the classes apart, forty are noise: a strong penalty forgets them, hardly any learns them."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(120) % 2
    noise = torch.randn(120, 40, generator=generator)
    signal = labels[:, None] * 2.0 - 1 + 1.2 * torch.randn(120, 1, generator=generator)
    found = probe(Labelled(torch.cat([signal, noise], 1).double(), labels), clouds(5, 1.0, 0, 2, 41))
    assert found.held_out[STRENGTHS.index(found.strength)] == max(found.held_out)
    assert all(score < max(found.held_out) for score in found.held_out[STRENGTHS.index(found.strength) + 1 :])
    assert found.strength > 1


def test_rotations_of_white_features_and_orders_of_samples_change_nothing():
    train, test = clouds(100, 2.0, 4), clouds(60, 2.0, 5)
    order = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(0))
    shuffled = Labelled(train.features[order], train.labels[order])
    # The held-out samples are other ones, so only one strength is tried.
    first, second = (probe(part, test, strengths=[1.0]).accuracy.value for part in (train, shuffled))
    assert first == second
    scaled = (Labelled(5 * part.features + 100, part.labels) for part in (train, test))
    assert probe(*scaled, strengths=[1.0]).accuracy.value == first


def test_notes():
    train = clouds(40, 0.1, 6)
    fourth = Labelled(train.features, torch.where(torch.arange(120) < 3, 3, train.labels))
    found = probe(train, fourth)
    assert "classes without training samples, which are never predicted: 3" in found.notes
    assert any("is at an end of the 45 that were tried" in note for note in found.notes) == (
        found.strength in (STRENGTHS[0], STRENGTHS[-1])
    )


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (
            Labelled(torch.ones(3, 2), torch.zeros(3).long()),
            clouds(2, 1.0, 0, 3, 2),
            "two classes or more, got one",
        ),
        (
            clouds(5, 1.0, 0),
            clouds(5, 1.0, 0, 3, 4),
            "as many features for training as for testing, got 6 and 4",
        ),
        (
            clouds(5, 1.0, 0),
            Labelled(torch.zeros(0, 6), torch.zeros(0).long()),
            "expected test features with a label",
        ),
        (
            Labelled(torch.full((4, 6), torch.nan), torch.arange(4)),
            clouds(5, 1.0, 0),
            "expected finite training feat",
        ),
        (Labelled(torch.eye(2), torch.arange(2)), Labelled(torch.eye(2), torch.arange(2)), None),
    ],
)
def test_what_cannot_be(train: Labelled, test: Labelled, sentence: str | None):
    if sentence is None:  # One sample a class: nothing can be held out of them, and no strength chosen.
        with pytest.raises(
            InputError, match="expected two samples or more of a class to choose the strength"
        ):
            probe(train, test)
        return
    with pytest.raises(InputError, match=sentence):
        probe(train, test)


def test_transfer_of_a_network_for_other_images(tmp_path: Path):
    """A random network for three channels of 28 pixels still tells handwritten digits of 8 pixels apart."""
    torch.manual_seed(0)
    metadata = {
        "architecture": {"name": "small_cnn", "arguments": {"channels": 3, "classes": 4}},
        "classes": list("abcd"),
        "preprocessing": {"size": [3, 28, 28], "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    save_checkpoint(tmp_path / "net.pt", small_cnn(3, 4).state_dict(), metadata)
    found = transferred(tmp_path / "net.pt", Transfer("digits", device="cpu"))
    assert len(found.samples.ids) == 600 and len(found.class_names) == 10
    assert 0.5 < found.probe.accuracy.value < 1
