"""A linear classifier on frozen features: how much of another task they still tell."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.surroundings import undisturbed

# Kornblith et al. 2019, which the MaxSup paper follows.
STRENGTHS = tuple(float(strength) for strength in np.logspace(-6, 5, 45))
HELD_OUT = 5  # one in so many training samples chooses the strength
# Of the gradient of the mean loss. sklearn's 1e-4 moved an accuracy by 0.3 points, and the choice of the strength.
TOLERANCE = 1e-6
ITERATIONS = 1000


@dataclass(frozen=True)
class Probe:
    """What a linear classifier on features reaches.

    accuracy: on the test samples, with the influence of each, so that two networks can be compared sample by sample.
    strength: of the L2 penalty that was chosen. held_out: accuracy of each strength on the samples that chose it.
    notes: what a reader must know.
    """

    accuracy: Estimate
    strength: float
    held_out: tuple[float, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """N features of one set, with their labels."""

    features: Float[Tensor, "N D"]
    labels: Int64[Tensor, " N"]


@undisturbed()
def probe(
    train: Labelled,
    test: Labelled,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    watch: Callable[[Sequence[float]], Iterable[float]] = iter,
) -> Probe:
    """Multinomial logistic regression with an L2 penalty, its strength chosen on a fifth of the training samples.

    Minimises sum_i -ln q_i + strength/2 |W|^2 (the bias is free) by L-BFGS, on features that are standardised by the
    mean and the deviation of each over the training samples: published protocols do not say how features are scaled,
    and without it the strengths would mean something else for every network. The chosen strength is the best on the
    held-out fifth, the largest of several; the classifier is then fitted again on all training samples.

    watch: sees each strength when its turn comes, for who shows progress.

    Raises InputError where shapes do not fit, a number is not finite, or there are not two classes to tell apart.

    Example:
        >>> import torch
        >>> labels = torch.arange(40) % 2
        >>> features = torch.nn.functional.one_hot(labels).double() + 0.01 * torch.arange(40)[:, None]
        >>> probe(Labelled(features, labels), Labelled(features, labels)).accuracy.value
        1.0
    """
    _require(train, test)
    train_features, test_features = _standardised(train.features, test.features)
    labels = train.labels.numpy()
    chooses = _held_out(train.labels, seed)
    if not chooses.any():
        raise InputError("expected two samples or more of a class to choose the strength on, got one of each")
    if len(np.unique(labels[~chooses])) < 2:
        raise InputError(
            "expected samples of two classes or more beside the held-out ones; bring more training samples"
        )
    ordered = sorted(strengths, reverse=True)
    scores = _path(train_features, labels, chooses, watch(ordered))
    best = int(np.argmax(scores))
    fitted = _fit(_new_classifier(), train_features, labels, ordered[best])
    hits = torch.from_numpy(_hits(fitted, test_features, test.labels.numpy()))
    return Probe(
        _accuracy(hits, test.labels),
        ordered[best],
        tuple(reversed(scores)),
        _notes(ordered, best, train, test),
    )


def _path(
    features: np.ndarray, labels: np.ndarray, chooses: np.ndarray, strengths: Iterable[float]
) -> list[float]:
    """Held-out accuracy of each strength, from the largest on: each fit begins where the last one ended."""
    classifier = _new_classifier()
    scores = []
    for strength in strengths:
        _fit(classifier, features[~chooses], labels[~chooses], strength)
        scores.append(float(_hits(classifier, features[chooses], labels[chooses]).mean()))
    return scores


def _hits(classifier: LogisticRegression, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.equal(classifier.predict(features), labels).astype(np.float64)


def _new_classifier() -> LogisticRegression:
    return LogisticRegression(tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)


def _fit(
    classifier: LogisticRegression, features: np.ndarray, labels: np.ndarray, strength: float
) -> LogisticRegression:
    # Of two classes sklearn fits one row w, which is W = (-w/2, w/2): |W|^2 is half of its |w|^2.
    classifier.set_params(C=(2 if len(np.unique(labels)) == 2 else 1) / strength)
    with warnings.catch_warnings():
        # With hardly any penalty there may be no minimum to arrive at; held-out samples judge what was reached.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features, labels)


def _held_out(labels: Int64[Tensor, " N"], seed: int) -> np.ndarray:
    """One sample in five of each class."""
    chosen = np.zeros(len(labels), dtype=bool)
    for k in labels.unique().tolist():
        mine = (labels == k).nonzero()[:, 0]
        order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed * 1_000_003 + k))
        chosen[mine[order[: max(1, len(mine) // HELD_OUT)]].numpy()] = len(mine) > 1
    return chosen


def _standardised(train: Tensor, test: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """By the mean and the deviation of each feature over the training samples; what does not vary becomes 0."""
    mean, deviation = train.double().mean(0), train.double().std(0, correction=0)
    deviation = torch.where(deviation > 1e-12 * mean.abs().clamp(min=1e-300), deviation, torch.inf)
    first, second = ((part.double() - mean) / deviation for part in (train, test))
    return first.numpy(), second.numpy()


def _accuracy(hits: Tensor, labels: Tensor) -> Estimate:
    value = hits.mean()
    return Estimate.of(float(value), (hits - value) / len(hits), labels)


def _notes(strengths: Sequence[float], best: int, train: Labelled, test: Labelled) -> tuple[str, ...]:
    notes = []
    if best in (0, len(strengths) - 1) and len(strengths) > 1:
        notes.append(
            f"the chosen strength {strengths[best]:.3g} is at an end of the {len(strengths)} that were tried"
        )
    missing = sorted(set(test.labels.unique().tolist()) - set(train.labels.unique().tolist()))
    if missing:
        notes.append(
            f"classes without training samples, which are never predicted: {', '.join(map(str, missing[:10]))}"
        )
    return tuple(notes)


def _require(train: Labelled, test: Labelled) -> None:
    for name, part in (("training", train), ("test", test)):
        if not len(part.labels) or len(part.labels) != len(part.features):
            raise InputError(
                f"expected {name} features with a label each, got {len(part.features)} features and {len(part.labels)} "
                "labels"
            )
        if not part.features.isfinite().all():
            raise InputError(f"expected finite {name} features, got NaN or infinity; leave those samples out")
    if train.features.shape[1] != test.features.shape[1]:
        raise InputError(
            f"expected as many features for training as for testing, got {train.features.shape[1]} and "
            f"{test.features.shape[1]}; extract both with one network"
        )
    if len(train.labels.unique()) < 2:
        raise InputError("expected training samples of two classes or more, got one class")
