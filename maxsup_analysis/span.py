"""The span of the centred class means: where neural collapse happens."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from scipy.linalg import helmert
from torch import Tensor

from maxsup_analysis.lazy import lazy

# A ratio of eigenvalues below which a Gram matrix, which squares them, has lost too many digits.
STEEP = 1e-6
EVEN = 16  # axes


@dataclass(frozen=True)
class Span:
    """An orthonormal basis of the span of K centred class means m_k, along the axes of S_B.

    variances: of the means along each axis, the nonzero eigenvalues of S_B = 1/K sum_k m_k m_k^T, descending.
    coordinates: of each mean along each axis.
    """

    basis: Float[Tensor, "D R"]
    variances: Float[Tensor, " R"]
    coordinates: Float[Tensor, "K R"]

    @lazy
    def single(self) -> "Span":
        """The same in float32."""
        return Span(self.basis.float(), self.variances.float(), self.coordinates.float())

    @lazy
    def halves(self) -> Float[Tensor, " K"]:
        """Half the squared length of each mean."""
        return self.coordinates.square().sum(1) / 2

    @property
    def rank(self) -> int:
        """Dimensions of the span, up to rounding."""
        return len(self.variances)

    @lazy
    def measures(self) -> Float[Tensor, "R 2"]:
        """What squared coordinates are weighed with: for their squared length in the span, and for d^T S_B^+ d."""
        return torch.stack([torch.ones_like(self.variances), 1 / self.variances], 1)

    def along(
        self, points: Float[Tensor, "B D"], out: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B R"]:
        """Coordinates of points; out: memory for them, of `room`."""
        return torch.mm(points, self._even_basis, out=out)[:, : self.rank]

    def room(self, rows: int) -> Float[Tensor, "B E"]:
        """Memory for the coordinates of so many points."""
        return self.basis.new_empty(rows, self._even_basis.shape[1])

    @lazy
    def _even_basis(self) -> Float[Tensor, "D E"]:
        """The basis, with columns of zeros up to a multiple of 16: a product of 999 columns takes 1.7 times as long."""
        return torch.nn.functional.pad(self.basis, (0, -self.rank % EVEN))


def span_of(centred_means: Float64[Tensor, "K D"]) -> Span:
    """The span of vectors that sum to zero; of rank 0 where all of them are zero."""
    K, D = centred_means.shape
    scale = centred_means.abs().amax() if centred_means.numel() else torch.tensor(0.0)
    if scale == 0 or not scale.isfinite():
        return Span(centred_means.new_zeros(D, 0), centred_means.new_zeros(0), centred_means.new_zeros(K, 0))
    unit = centred_means / scale
    basis, lengths = _from_gram(unit)
    if len(lengths) == 0 or lengths[-1] ** 2 < STEEP * lengths[0] ** 2:
        basis, lengths = _from_values(unit)
    return Span(basis, (lengths * scale).square() / K, centred_means @ basis)


def rank_tolerance(matrix: Tensor) -> float:
    """Singular values below this share of the largest are zero: the size times the float64 epsilon."""
    return max(matrix.shape) * torch.finfo(matrix.dtype).eps


def _from_gram(means: Float64[Tensor, "K D"]) -> tuple[Float64[Tensor, "D R"], Float64[Tensor, " R"]]:
    """Axes and lengths along them, from the smaller Gram matrix; fast, and exact where lengths are alike."""
    K, D = means.shape
    rank = min(K - 1, D)
    if K <= D:
        squares, axes = torch.linalg.eigh(means @ means.T)
        lengths = squares.flip(0)[:rank].clamp(min=0).sqrt()
        return means.T @ (axes.flip(1)[:, :rank] / lengths), lengths
    squares, axes = torch.linalg.eigh(means.T @ means)
    return axes.flip(1)[:, :rank], squares.flip(0)[:rank].clamp(min=0).sqrt()


def _from_values(means: Float64[Tensor, "K D"]) -> tuple[Float64[Tensor, "D R"], Float64[Tensor, " R"]]:
    """The same from singular values, of K - 1 contrasts, which lack the direction that is always zero."""
    contrasts = torch.from_numpy(helmert(len(means))) @ means
    _, lengths, axes = torch.linalg.svd(contrasts, full_matrices=False)
    kept = lengths > rank_tolerance(contrasts) * lengths[0]
    return axes[kept].T, lengths[kept]
