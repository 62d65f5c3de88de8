"""The eigenvalues of the covariance of one class, from the smaller of its two Gram matrices."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.errors import OUT_OF_RANGE, Undefined
from maxsup_analysis.symmetric import half_product


@dataclass(frozen=True)
class ClassSpectrum:
    """Eigenvalues, in descending order, of 1/n sum_i d_i d_i^T over n samples, d_i = h_i - their mean.

    values: the min(n - 1, D) largest, never negative; the others are zero.
    shares: how much of each is due to each sample, (v_j d_i)^2 / n for the eigenvector v_j; their sum over
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


def class_spectrum(features: Float[Tensor, "n D"], *, shares: bool = True) -> ClassSpectrum:
    """The spectrum of one class; of no eigenvalue where it has one sample.

    shares: whether each sample's are wanted.

    Raises Undefined where squares overflow.

    Example:
        >>> import torch
        >>> class_spectrum(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).values
        tensor([1.], dtype=torch.float64)
    """
    n, D = features.shape
    # As seen from one of them: a common offset costs no digits.
    seen = features.to(torch.float64, copy=True).sub_(features[0].double())
    deviations = seen.sub_(seen.mean(0))
    # Its upper half, which the decomposition looks at.
    gram = half_product(deviations.T if n <= D else deviations).div_(n)
    if not gram.isfinite().all():
        raise Undefined(OUT_OF_RANGE)
    if not shares:
        return ClassSpectrum(
            torch.linalg.eigvalsh(gram, UPLO="U").flip(0)[: min(n - 1, D)].clamp(min=0), None
        )
    values, axes = (part.flip(-1)[..., : min(n - 1, D)] for part in torch.linalg.eigh(gram, UPLO="U"))
    values = values.clamp(min=0)
    if n <= D:
        # (v_j d_i)^2 = n value_j u_ij^2, for the eigenvector u_j of the Gram matrix of the samples.
        return ClassSpectrum(values, axes.square() * values)
    return ClassSpectrum(values, (deviations @ axes).square() / n)
