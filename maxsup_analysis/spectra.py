"""The eigenvalues of the covariance and of the second moment of all features, from the moments of classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.errors import OUT_OF_RANGE, Undefined
from maxsup_analysis.lazy import lazy
from maxsup_analysis.metrics.metric import Matrix
from maxsup_analysis.representation import Representation
from maxsup_analysis.symmetric import half_product
from maxsup_analysis.threads import threaded
from maxsup_analysis.tile import Tile


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues, in descending order, and eigenvectors of 1/N sum_i x_i x_i^T, with x_i = h_i - centre.

    Without those that are zero for want of samples.

    vectors: None where no standard errors are wanted, which takes a third of the time.
    centre: as seen from the origin of the class means.
    """

    values: Float64[Tensor, " R"]
    vectors: Float64[Tensor, "D R"] | None
    centre: Float64[Tensor, " D"]
    samples: int

    @property
    def known_vectors(self) -> Float64[Tensor, "D R"]:
        """The eigenvectors, where standard errors are wanted."""
        assert self.vectors is not None, "there is no influence without eigenvectors"
        return self.vectors

    @lazy
    def single(self) -> Float[Tensor, "D R"]:
        """The eigenvectors in float32."""
        return self.known_vectors.float()

    def shares(self, tile: Tile, gradients: Float64[Tensor, "R P"]) -> Float64[Tensor, "B P"]:
        """What samples add to functions of the eigenvalues: d value_j = ((v_j x_i)^2 - value_j) / N."""
        origin = tile.representation.means.features.origin
        points = (tile.features - origin).sub_(self.centre)
        exact = tile.precision == torch.float64
        squares = (points @ self.known_vectors if exact else points.float() @ self.single).square().double()
        return (squares @ gradients - self.values @ gradients) / self.samples


@dataclass(frozen=True)
class Spectra:
    """The spectra by the name of their matrix, or why there is none."""

    by_matrix: Mapping[Matrix, Spectrum | Undefined]

    def of(self, matrix: Matrix) -> Spectrum:
        """One of them."""
        found = self.by_matrix[matrix]
        if isinstance(found, Undefined):
            raise found
        return found


def spectra_of(representation: Representation, matrices: set[Matrix], *, errors: bool) -> Spectra:
    """From the within-class scatter and the class means; errors: whether standard errors are wanted."""
    classes, N = representation.classes, representation.samples
    mean = classes.sample_mean
    offsets = (classes.offsets - mean) * classes.counts.sqrt()[:, None]
    # Its upper half, which the decompositions look at.
    covariance = (representation.scatter + half_product(offsets)) / N
    centre = classes.origin + mean

    def spectrum(matrix: Matrix) -> Spectrum | Undefined:
        if not covariance.isfinite().all() or not centre.square().isfinite().all():
            return Undefined(OUT_OF_RANGE)
        if matrix == "covariance":
            return _spectrum(covariance, mean, N, N - 1, errors)
        return _spectrum(covariance + torch.outer(centre, centre), -classes.origin, N, N, errors)

    chosen = sorted(matrices)
    # Both at once take a third less time than one after the other with two threads each.
    return Spectra(dict(zip(chosen, threaded(spectrum, chosen), strict=True)))


def _spectrum(
    matrix: Float64[Tensor, "D D"], centre: Float64[Tensor, " D"], samples: int, rank: int, errors: bool
) -> Spectrum:
    """rank: the most that it can be; what lies beyond is rounding."""
    if errors:
        values, vectors = torch.linalg.eigh(matrix, UPLO="U")
    else:
        values, vectors = torch.linalg.eigvalsh(matrix, UPLO="U"), None
    values = values.flip(0)[:rank].clamp(min=0)
    return Spectrum(values, None if vectors is None else vectors.flip(1)[:, :rank], centre, samples)
