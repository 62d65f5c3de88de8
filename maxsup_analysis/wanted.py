"""What a sweep over the rows has to sum, and to keep of every sample, for some metrics."""

from collections.abc import Iterable
from dataclasses import dataclass

from maxsup_analysis.metrics.metric import Metric, OrderMetric, SampleMetric

# Bytes of contributions of samples that are kept for the standard errors; beyond, a sweep computes them again.
MOST_KEPT = 2**28


@dataclass(frozen=True)
class Wanted:
    """What the sweep sums because metrics need it, and what it keeps of every sample.

    kept: metrics whose contributions or columns are kept for all samples.
    errors: whether standard errors are wanted, which need derivatives with respect to the class means.
    pulls: whether those of samples that are seen from class means are among them.
    """

    totals: tuple[SampleMetric, ...] = ()
    kept: tuple[SampleMetric | OrderMetric, ...] = ()
    span: bool = False
    direction_span: bool = False
    scatter: bool = False
    errors: bool = False
    pulls: bool = False

    @property
    def nothing(self) -> bool:
        """Whether class means alone will do."""
        of_samples = bool(self.totals or self.kept)
        return not (of_samples or self.span or self.direction_span or self.scatter)

    @classmethod
    def by(cls, metrics: Iterable[Metric], samples: int, *, errors: bool) -> "Wanted":
        """What these metrics need of so many samples."""
        every = list(metrics)
        needs = {need for metric in every for need in metric.needs}
        of_samples = tuple(metric for metric in every if isinstance(metric, SampleMetric))
        orders = tuple(metric for metric in every if isinstance(metric, OrderMetric))
        kept = tuple(metric for metric in of_samples if errors and metric.columns is not None)
        if samples * sum(metric.width for metric in kept) * 8 > MOST_KEPT:
            # The nearest class mean costs a product with all of them, which is not computed twice.
            kept = tuple(metric for metric in kept if "nearest" in metric.needs)
        return cls(
            of_samples,
            (*orders, *kept),
            span="span" in needs,
            direction_span="direction_span" in needs,
            scatter="scatter" in needs,
            errors=errors,
            pulls=errors and any(metric.seen_from is not None for metric in of_samples),
        )
