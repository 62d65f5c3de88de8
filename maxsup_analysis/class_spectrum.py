"""The eigenvalues of the covariance, or of the second moment, of one class, from the smaller of its Gram matrices."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.errors import OUT_OF_RANGE, Undefined
from maxsup_analysis.metrics.metric import Matrix
from maxsup_analysis.symmetric import half_product


@dataclass(frozen=True)
class ClassSpectrum:
    """Eigenvalues, in descending order, of 1/n sum_i x_i x_i^T over n samples, x_i = h_i - their mean, or h_i.

    values: the min(n - 1, D) largest, or min(n, D), never negative; the others are zero.
    shares: how much of each is due to each sample, (v_j x_i)^2 / n for the eigenvector v_j; their sum over
        samples is the eigenvalue. None where they were not asked for.
    """

    values: Float64[Tensor, " R"]
    shares: Float64[Tensor, "n R"] | None

    def influence(self, gradient: Float64[Tensor, " R"]) -> Float64[Tensor, " n"]:
        """Of each sample on a function of the eigenvalues: its derivative with respect to the weight of the sample.

        The mean moves with the weights, to no effect of first order: d value_j = share_ij - value_j / n.
        """
        assert self.shares is not None, "influences were asked for"
        return self.shares @ gradient - self.values @ gradient / len(self.shares)


def class_spectra(
    features: Float[Tensor, "n D"], matrices: Iterable[Matrix] = ("covariance",), *, shares: bool = True
) -> dict[Matrix, ClassSpectrum | Undefined]:
    """The spectra of one class, or that squares overflow; the covariance of one sample has no eigenvalue.

    shares: whether each sample's are wanted.

    Example:
        >>> import torch
        >>> class_spectra(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), shares=False)
        {'covariance': ClassSpectrum(values=tensor([1.], dtype=torch.float64), shares=None)}
    """
    n, D = features.shape
    # As seen from one of them: a common offset costs no digits.
    origin = features[0].double()
    seen = features.to(torch.float64, copy=True).sub_(origin)
    offset = seen.mean(0)
    deviations, mean = seen.sub_(offset), origin + offset
    # Its upper half, which the decomposition looks at.
    gram = half_product(deviations.T if n <= D else deviations)
    spectra: dict[Matrix, ClassSpectrum | Undefined] = {}
    for matrix in matrices:
        if matrix == "covariance":
            spectra[matrix] = _spectrum(
                gram, deviations, torch.zeros_like(mean), min(n - 1, D), shares=shares
            )
        else:
            own = _uncentred(gram, deviations, mean)
            spectra[matrix] = _spectrum(own, deviations, mean, min(n, D), shares=shares)
    return spectra


def _uncentred(
    gram: Float64[Tensor, "R R"], deviations: Float64[Tensor, "n D"], mean: Float64[Tensor, " D"]
) -> Float64[Tensor, "R R"]:
    """The Gram matrix of the points themselves, from that of their deviations from the mean."""
    n, D = deviations.shape
    if n > D:
        return gram + n * torch.outer(mean, mean)
    # (d_i + m)(d_j + m) = d_i d_j + (d_i m + |m|^2 / 2) + (d_j m + |m|^2 / 2).
    along = deviations @ mean + mean.square().sum() / 2
    return gram + along[:, None] + along


def _spectrum(
    gram: Float64[Tensor, "R R"],
    deviations: Float64[Tensor, "n D"],
    offset: Float64[Tensor, " D"],
    rank: int,
    *,
    shares: bool,
) -> ClassSpectrum | Undefined:
    """Of the Gram matrix of deviations + offset; rank: the most that it can be, what lies beyond is rounding."""
    n, D = deviations.shape
    if not gram.isfinite().all():
        return Undefined(OUT_OF_RANGE)
    gram = gram / n
    if not shares:
        return ClassSpectrum(torch.linalg.eigvalsh(gram, UPLO="U").flip(0)[:rank].clamp(min=0), None)
    values, axes = (part.flip(-1)[..., :rank] for part in torch.linalg.eigh(gram, UPLO="U"))
    values = values.clamp(min=0)
    if n <= D:
        # (v_j x_i)^2 = n value_j u_ij^2, for the eigenvector u_j of the Gram matrix of the samples.
        return ClassSpectrum(values, axes.square() * values)
    return ClassSpectrum(values, (deviations @ axes + offset @ axes).square() / n)
