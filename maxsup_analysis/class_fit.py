"""Whether the outputs of a model fit the classes of the data much better in another order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.name_orders import SORTINGS, WHO_SORTS, in_order

# An order is told where it adds this much to the accuracy, or where it multiplies a small one.
LEAST_GAIN = 0.2
LEAST_GAIN_OF_FEW, MANY_TIMES = 0.05, 5
DEVIATIONS = 1.7
# How many sequences of predictions show what chance does.
SEQUENCES = 5
# Beyond so many classes the best of all orders is not looked for: it takes their number cubed.
MOST_CLASSES = 2000
SEED = 0


@dataclass
class Confusions:
    """Labels and predictions, batch by batch: kept during a run, looked at when it is over."""

    labels: list[Tensor] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)

    def add(self, labels: Int64[Tensor, " B"], predictions: Int64[Tensor, " B"]) -> None:
        """Those of a batch."""
        # Batches are views of buffers that are filled again.
        self.labels.append(labels.to(torch.int32, copy=True))
        self.predictions.append(predictions.to(torch.int32, copy=True))

    def better_order(self, class_names: Sequence[str]) -> str | None:
        """What to tell where another order of the classes fits much better; None where none does.

        class_names: in the order that was used.
        """
        if not self.labels:
            return None
        labels, predictions = (torch.cat(parts).numpy() for parts in (self.labels, self.predictions))
        right = labels == predictions
        used = float(right.mean())
        for sorting in SORTINGS:
            otherwise = _places(class_names, sorting)[labels] == predictions
            accuracy = float(otherwise.mean())
            if _is_much_better(accuracy, used) and _is_no_chance(otherwise, right):
                return (
                    f"with the classes in the other order of their names ({WHO_SORTS[sorting]}) accuracy would be "
                    f"{accuracy:.4f}, not {used:.4f}: use --class-order {sorting}"
                )
        return _best_of_all(labels, predictions, used, class_names)


def _best_of_all(
    labels: np.ndarray, predictions: np.ndarray, used: float, class_names: Sequence[str]
) -> str | None:
    K = len(class_names)
    if K > MOST_CLASSES or used > 0.5:
        return None
    order, accuracy = best_order(labels, predictions, K)
    # With few samples a class some order fits any predictions: those in another sequence show how well.
    rng = np.random.default_rng(SEED)
    by_chance = [best_order(labels, rng.permutation(predictions), K)[1] for _ in range(SEQUENCES)]
    if not (accuracy > 2 * used and accuracy > max(used, float(np.mean(by_chance))) + LEAST_GAIN):
        return None
    moved = next(k for k in range(K) if order[k] != k)
    return (
        f"another order of the classes fits the outputs much better (accuracy {accuracy:.4f}, not {used:.4f}; class "
        f"{class_names[moved]!r} would be output {order[moved]}): give the right one with --class-map FILE"
    )


def best_order(labels: np.ndarray, predictions: np.ndarray, K: int) -> tuple[np.ndarray, float]:
    """The output of each class by which most samples are right, and the share of them."""
    from scipy.optimize import linear_sum_assignment

    counts = np.bincount(labels.astype(np.int64) * K + predictions, minlength=K * K).reshape(K, K)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return columns, float(counts[rows, columns].sum() / len(labels))


def _places(class_names: Sequence[str], sorting: str) -> np.ndarray:
    place = {name: k for k, name in enumerate(in_order(class_names, sorting))}
    return np.array([place[name] for name in class_names])


def _is_much_better(accuracy: float, used: float) -> bool:
    gain = accuracy - used
    return gain > LEAST_GAIN or (gain > LEAST_GAIN_OF_FEW and accuracy > MANY_TIMES * used)


def _is_no_chance(right: np.ndarray, used: np.ndarray) -> bool:
    """Samples that only one of two orders gets right, told apart by their deviation (McNemar 1947)."""
    gained, lost = int((right & ~used).sum()), int((used & ~right).sum())
    return gained - lost > DEVIATIONS * (gained + lost) ** 0.5
