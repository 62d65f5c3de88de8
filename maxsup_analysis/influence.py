"""How much each sample weighs in a metric: its influence function, by autograd and the chain rule.

A metric is a differentiable function of sample weights; the influence of a sample is the derivative with
respect to its weight, at weight one (the infinitesimal jackknife). The gradient with respect to moments or
totals is taken once (`linearisation`); one more sweep over the rows then gives each sample's share of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.gathering import Kept
from maxsup_analysis.linearisation import Linearised, MomentGradient
from maxsup_analysis.metrics.metric import Metric, OrderMetric, SampleMetric, SpectralMetric
from maxsup_analysis.moment_shares import MomentPlan
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows
from maxsup_analysis.sampling import distance_factors, spread_factors
from maxsup_analysis.spectra import Spectra, Spectrum
from maxsup_analysis.tile import Tile

# Tiles that are looked at together: the products with the rows of one class are longer, and little else is computed.
TILES = 2


@dataclass(frozen=True)
class Samples:
    """Which samples influences speak of, in order."""

    ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Influences:
    """How much each of N samples weighs in each of P metrics."""

    samples: Samples
    values: Float64[Tensor, "P N"]


def influences(
    representation: Representation, kept: Kept, spectra: Spectra | None, entries: Sequence[Linearised]
) -> Influences:
    """The influence of every sample on each of P linearised metrics, whose slopes are spent; one sweep of rows."""
    swept = [entry for entry in entries if entry.metric.name not in kept.columns]
    plan = _Plan.of(representation, spectra, swept)
    share = partial(_block_influences, representation=representation.summary, plan=plan)
    parts = list(representation.blocks.map(share))
    samples = Samples(
        np.concatenate([part.samples.ids for part in parts]),
        np.concatenate([part.samples.labels for part in parts]),
    )
    shares = iter(torch.cat([part.values for part in parts], 1))
    counts, labels = representation.means.features.counts, torch.from_numpy(samples.labels)
    factors, of_distances = spread_factors(counts)[labels], distance_factors(counts)[labels]
    return Influences(
        samples,
        torch.stack([
            _of_kept(entry, kept, of_distances)
            if entry.metric.name in kept.columns
            else _with_span(entry, next(shares), kept, factors)
            for entry in entries
        ])
        if entries
        else torch.empty(0, len(samples.ids), dtype=torch.float64),
    )  # fmt: skip


def _of_kept(entry: Linearised, kept: Kept, factors: Float64[Tensor, " N"]) -> Float64[Tensor, " N"]:
    """Influences that need no sweep: those of a metric whose columns were kept; factors: `distance_factors`."""
    assert isinstance(entry.gradient, Tensor)
    columns = kept.columns[entry.metric.name]
    assert isinstance(columns, Tensor), "a metric without columns has no gradient"
    if isinstance(entry.metric, OrderMetric):
        return entry.gradient
    found = columns @ entry.gradient
    return found * factors if _is_of_distances(entry.metric) else found


def _is_of_distances(metric: Metric) -> bool:
    """Whether it is of distances from the mean of the own class, of wrong samples too, or for most samples."""
    seen = metric.seen_from if isinstance(metric, SampleMetric) else None
    return seen is not None and seen.mean != "own direction" and seen.by != "wrong"


def _with_span(
    entry: Linearised, share: Float64[Tensor, " N"], kept: Kept, factors: Float64[Tensor, " N"]
) -> Float64[Tensor, " N"]:
    """The share with what the sample adds to the scatter in the span, which was kept; factors: `spread_factors`."""
    if not isinstance(entry.gradient, MomentGradient):
        return share
    pairs = ((entry.gradient.features, kept.span), (entry.gradient.directions, kept.direction_span))
    for gradient, columns in pairs:
        for slope, column in ((gradient.inside, 0), (gradient.distance, 1)):
            if slope is not None and columns is not None:
                share = share + slope * columns[:, column] * factors
    return share


@dataclass(frozen=True)
class _Plan:
    """All gradients of P metrics whose shares a sweep finds; factors: `spread_factors` of the classes."""

    factors: Float64[Tensor, " K"]
    moments: Tensor
    of_moments: MomentPlan | None
    scatters: tuple[tuple[int, Tensor], ...]
    forms: tuple[tuple[int, Tensor, Tensor], ...]
    samples: tuple[tuple[int, SampleMetric, Tensor], ...]
    spectra: tuple[tuple[tuple[int, ...], Spectrum, Tensor], ...]
    size: int

    @classmethod
    def of(
        cls, representation: Representation, spectra: Spectra | None, entries: Sequence[Linearised]
    ) -> "_Plan":
        dtype = representation.precision
        of_moments = [
            (n, one.gradient) for n, one in enumerate(entries) if isinstance(one.gradient, MomentGradient)
        ]
        gradients = [gradient for _, gradient in of_moments]
        return cls(
            spread_factors(representation.means.features.counts),
            torch.tensor([n for n, _ in of_moments], dtype=torch.long),
            MomentPlan.of(gradients, representation.known_moments, dtype) if gradients else None,
            tuple((n, one.scatter.to(dtype)) for n, one in of_moments if one.scatter is not None),
            tuple((n, vectors.to(dtype), slope) for n, one in of_moments for vectors, slope in one.forms),
            tuple(
                (n, one.metric, one.gradient)
                for n, one in enumerate(entries)
                if isinstance(one.metric, SampleMetric) and isinstance(one.gradient, Tensor)
            ),
            () if spectra is None else tuple(_of_spectra(spectra, entries)),
            len(entries),
        )


def _of_spectra(
    spectra: Spectra, entries: Sequence[Linearised]
) -> Iterator[tuple[tuple[int, ...], Spectrum, Tensor]]:
    """For each matrix the metrics of its eigenvalues, and their gradients, R x P."""
    for matrix in spectra.by_matrix:
        chosen = [
            (n, one.gradient)
            for n, one in enumerate(entries)
            if isinstance(one.metric, SpectralMetric) and one.metric.matrix == matrix
        ]
        if chosen:
            slopes = torch.stack([slope for _, slope in chosen], 1)  # type: ignore[arg-type]
            yield tuple(n for n, _ in chosen), spectra.of(matrix), slopes


def _block_influences(rows: Rows, representation: Representation, plan: _Plan) -> Influences:
    # Without the logits where nothing looks at them, since rows are copied on their way into a tile.
    looked_at = rows if plan.samples else Rows(rows.ids, rows.labels, rows.features)
    shares = torch.zeros(len(rows), plan.size, dtype=torch.float64)
    for chosen in rows.labels.argsort(stable=True).split(TILES * looked_at.tile_size()):
        shares[chosen] = _tile_influences(Tile(looked_at.take(chosen), representation), plan)
    return Influences(Samples(rows.ids, rows.labels.numpy()), shares.T)


def _tile_influences(tile: Tile, plan: _Plan) -> Float64[Tensor, "B P"]:
    shares = torch.zeros(len(tile), plan.size, dtype=torch.float64)
    if plan.of_moments is not None:
        shares.index_copy_(1, plan.moments, plan.of_moments.shares(tile))
    factors = plan.factors.index_select(0, tile.labels)
    for n, slope in plan.scatters:
        deviations = tile.product_deviations
        shares[:, n] += (deviations @ slope * deviations).sum(1, dtype=torch.float64) * factors
    for n, vectors, slope in plan.forms:
        products = tile.product_deviations @ vectors.T
        shares[:, n] += (products.square_().double() @ slope) * factors
    for n, metric, gradient in plan.samples:
        own = metric.shares(tile, gradient)
        factors = distance_factors(tile.representation.means.features.counts)
        shares[:, n] = own * factors.index_select(0, tile.labels) if _is_of_distances(metric) else own
    for chosen, spectrum, gradients in plan.spectra:
        shares[:, list(chosen)] = spectrum.shares(tile, gradients)
    return shares
