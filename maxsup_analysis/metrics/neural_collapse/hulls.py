"""The smallest distance between one of K unit vectors and the convex hull of the others, with a certificate."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

TOLERANCE = 1e-10
ITERATIONS = 20_000
CLOSE = 1e-2  # distances below it are computed from differences: of products they have lost digits
CHECK = 4  # iterations before each look at the certificates


@dataclass(frozen=True)
class Search:
    """Accelerated projected gradients for several of the vectors at once.

    chosen: which of them. weights: the present points of the hulls, as weights of the vectors. ahead: the points
    that gradients are taken at. pace: Nesterov's sequence, started again where it overshoots (O'Donoghue & Candes
    2015).
    """

    chosen: Int64[Tensor, " B"]
    weights: Float64[Tensor, "B K"]
    ahead: Float64[Tensor, "B K"]
    pace: Float64[Tensor, "B 1"]

    @classmethod
    def of(cls, K: int) -> "Search":
        """For all of them, from the averages of the others."""
        weights = (1 - torch.eye(K, dtype=torch.float64)) / (K - 1)
        return cls(torch.arange(K), weights, weights, torch.ones(K, 1, dtype=torch.float64))

    def kept(self, which: Bool[Tensor, " B"]) -> "Search":
        """For some of them only."""
        return Search(self.chosen[which], self.weights[which], self.ahead[which], self.pace[which])

    def step(self, gram: Float64[Tensor, "K K"], rate: float) -> "Search":
        """One iteration on |x_k - sum_j weight_j x_j|^2 / 2."""
        point = self.ahead - rate * (self.ahead @ gram - gram[self.chosen])
        # A vector is not among the others: its own weight is projected to zero.
        weights = _on_simplex(point.scatter(1, self.chosen[:, None], -torch.inf))
        step = weights - self.weights
        overshot = ((self.ahead - weights) * step).sum(1, keepdim=True) > 0
        pace = (1 + (1 + 4 * self.pace.square()).sqrt()) / 2
        momentum = torch.where(overshot, 0, (self.pace - 1) / pace)
        return Search(self.chosen, weights, weights + momentum * step, torch.where(overshot, 1, pace))

    def distances(
        self, vectors: Float64[Tensor, "K D"], gram: Float64[Tensor, "K K"]
    ) -> Float64[Tensor, "B 2"]:
        """No more and no less than which each distance is.

        With r from the present point of the hull to the vector, the vectors j of the hull lie at least
        min_j r.(x_k - x_j) / |r| behind it; and no distance is below zero.
        """
        own = self.chosen[:, None]
        products = gram[self.chosen].sub_(self.weights @ gram)
        along = products.gather(1, own)
        most = (along[:, 0] - (products * self.weights).sum(1)).clamp(min=0).sqrt()
        if (close := most < CLOSE).any():
            most[close] = (vectors[self.chosen[close]] - self.weights[close] @ vectors).norm(dim=1)
        least = (along - products).scatter(1, own, torch.inf).amin(1) / most
        return torch.stack([most, least.where(most > 0, 0).clamp(min=0)], 1)


def smallest_distance_to_hull(vectors: Float64[Tensor, "K D"]) -> float | None:
    """min_k of the distance between x_k and the convex hull of the other unit vectors, to 1e-10.

    None where 20,000 iterations do not certify it.
    """
    gram, best = vectors @ vectors.T, torch.inf
    rate, search = 1 / torch.linalg.eigvalsh(gram)[-1].item(), Search.of(len(vectors))
    for _ in range(ITERATIONS // CHECK):
        for _ in range(CHECK):
            search = search.step(gram, rate)
        most, least = search.distances(vectors, gram).T
        best = min(best, most.min().item())
        hopeful = least < best - TOLERANCE
        if not hopeful.any():
            return best
        search = search.kept(hopeful)
    return None


def _on_simplex(points: Float64[Tensor, "B K"]) -> Float64[Tensor, "B K"]:
    """The nearest weights that are positive and sum to one, for numbers of which some may be minus infinity.

    Those below the level that the others' sum asks for are left out, until none is (Michelot 1986).
    """
    members = points.isfinite()
    while True:
        counts = members.sum(1, keepdim=True)
        levels = (points.where(members, 0).sum(1, keepdim=True) - 1) / counts
        # Only ever fewer, whatever is rounded.
        members = members & (points > levels)
        if torch.equal(members.sum(1, keepdim=True), counts):
            return (points - levels).clamp_(min=0)
