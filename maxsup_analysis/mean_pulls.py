"""How metrics of samples change with the class means that the samples are seen from.

Means are of the same samples: who moves one moves where all others are seen from.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import SeenFrom
from maxsup_analysis.moments import ClusterMeans
from maxsup_analysis.tile import Tile


@dataclass(frozen=True)
class MeanPulls:
    """Sums over samples, by class.

    own, own_wrong: of the unit vectors from the mean of the class of a sample, of all and of the wrong ones. taken:
    of those from the mean of the class that a wrong sample is taken for. directed_wrong: of the directions of the wrong
    ones.
    """

    own: Float64[Tensor, "K D"]
    own_wrong: Float64[Tensor, "K D"]
    taken: Float64[Tensor, "K D"]
    directed_wrong: Float64[Tensor, "K D"]

    def __add__(self, other: "MeanPulls") -> "MeanPulls":
        return MeanPulls(*(getattr(self, part.name).add_(getattr(other, part.name)) for part in fields(self)))

    @classmethod
    def of(cls, tile: Tile) -> "MeanPulls":
        """Over a tile; where nothing says which samples are wrong, none is."""
        K, D = len(tile.representation.class_names), tile.rows.features.shape[1]
        own, own_wrong, taken, directed = (torch.zeros(K, D, dtype=torch.float64) for _ in range(4))
        own.index_add_(0, tile.labels, _units(tile.deviations))
        try:
            wrong = (tile.correct == 0).nonzero()[:, 0]
        except Undefined:
            return cls(own, own_wrong, taken, directed)
        labels, predictions = tile.labels[wrong], tile.predictions[wrong]
        means = tile.representation.means.features
        own_wrong.index_add_(0, labels, _units(tile.deviations[wrong]))
        taken.index_add_(0, predictions, _units(means.deviations(tile.features[wrong], predictions)))
        directed.index_add_(0, labels, tile.directions[wrong])
        return cls(own, own_wrong, taken * (means.counts > 0)[:, None], directed)

    def slopes(self, seen: SeenFrom, directions: ClusterMeans) -> Float64[Tensor, "K D"]:
        """The derivative of the summed distances, or cosines, with respect to the means, or mean directions."""
        if seen.mean == "own direction":
            return self._cosine_slopes(seen, directions)
        own = {"all": self.own, "correct": self.own - self.own_wrong, "wrong": self.own_wrong}
        if seen.mean == "own":
            return -own[seen.by]
        return -(self.taken if seen.by == "wrong" else own["correct"] + self.taken)

    def _cosine_slopes(self, seen: SeenFrom, means: ClusterMeans) -> Float64[Tensor, "K D"]:
        """For sums s of directions u and their mean c: the derivative of s c / |c|."""
        summed = means.offsets * means.counts[:, None]
        sums = {"all": summed, "correct": summed - self.directed_wrong, "wrong": self.directed_wrong}[seen.by]
        lengths = torch.where(means.lengths > 0, means.lengths, 1)[:, None]
        axes = means.offsets / lengths
        return (sums - (sums * axes).sum(1, keepdim=True) * axes) / lengths


def _units(deviations: Float64[Tensor, "B D"]) -> Float64[Tensor, "B D"]:
    """Of length one; zeros stay zero, where the distance has no derivative."""
    lengths = torch.linalg.vector_norm(deviations, dim=1, keepdim=True)
    return deviations / torch.where(lengths > 0, lengths, 1)
