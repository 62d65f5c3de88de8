"""All metrics of one classifier on one set of samples, with where they come from."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from torch import Tensor

from maxsup_analysis.array_rows import represent_arrays
from maxsup_analysis.errors import InputError
from maxsup_analysis.estimates import Estimate, estimate
from maxsup_analysis.given import Given
from maxsup_analysis.influence import Samples
from maxsup_analysis.logit_checks import remarks_on_logits
from maxsup_analysis.metrics import METRICS, Metric
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.representation import Representation
from maxsup_analysis.surroundings import undisturbed

FORMAT = "maxsup-analysis measurements, version 1"


@dataclass(frozen=True)
class Measurements(Mapping[str, Estimate]):
    """Metric name -> estimate, for one checkpoint and one split.

    notes: what a reader must know of the data: classes without samples, zero vectors, limits of a metric.
    provenance: plain JSON values; what was measured, with what.
    samples: present where the estimates carry influences; not part of the JSON.
    """

    estimates: Mapping[str, Estimate]
    size: Mapping[str, int]
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    samples: Samples | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, name: str) -> Estimate:
        METRICS[name]
        if name not in self.estimates:
            raise InputError(f"{name} was not measured; there are: {', '.join(self.estimates)}")
        return self.estimates[name]

    def __contains__(self, name: object) -> bool:
        return name in self.estimates

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_frame(self) -> pd.DataFrame:
        """One row a metric: value, standard_error, degrees_of_freedom of the interval, reason."""
        columns = ["value", "standard_error", "degrees_of_freedom", "reason"]
        rows = [(name, *(getattr(item, one) for one in columns)) for name, item in self.estimates.items()]
        return pd.DataFrame(rows, columns=["metric", *columns]).set_index("metric")

    def to_json(self) -> str:
        """Strict JSON: undefined numbers are null, with the reason beside them. Reading it back is exact."""
        metrics = {
            name: {
                "value": finite(item.value),
                "standard_error": finite(item.standard_error),
                "degrees_of_freedom": finite(item.degrees_of_freedom),
                "reason": item.reason,
                **({} if math.isnan(item.value) else {"rounding": item.rounding}),
            }
            for name, item in self.estimates.items()
        }
        document = {
            "format": FORMAT,
            "size": dict(self.size),
            "metrics": metrics,
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }
        return json.dumps(document, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Measurements":
        """What `to_json` wrote."""
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InputError(f"expected JSON with the format {FORMAT!r}; write it with `measure --json`")
        estimates = {
            name: Estimate(
                not_null(item["value"]),
                not_null(item["standard_error"]),
                item["reason"],
                degrees_of_freedom=math.inf
                if item.get("degrees_of_freedom") is None
                else item["degrees_of_freedom"],
                rounding=item.get("rounding", 0.0),
                skewed=name in METRICS and METRICS[name].skewed,
            )
            for name, item in document["metrics"].items()
        }
        return cls(estimates, document["size"], tuple(document["notes"]), document["provenance"])


def finite(value: float) -> float | None:
    """The number itself, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def not_null(value: float | None) -> float:
    """The number itself, or NaN."""
    return math.nan if value is None else value


@undisturbed()
def measure(
    features: Given = None,
    labels: Given = None,
    logits: Given = None,
    weight: Given = None,
    bias: Given = None,
    *,
    ids: Given = None,
    groups: Sequence[str] = (),
) -> Measurements:
    """The metrics of N features (N x D) with integer labels (N), each with its standard error.

    features: None for logits alone; what looks at features is then NaN with that reason.
    labels: numbers, also as whole floats or N x 1; names too where there is no classifier.
    ids: what samples are known by, whole numbers or text; 0 to N - 1 where none are given.
    groups: which ones, such as "nc" or "all", or metrics by name; the standard ones where none is given.

    logits (N x K), weight (K x D) and bias (K) are those of the classifier; what they are needed for is NaN
    with a reason where they lack. Logits that lack are computed from the head. Arrays, tensors, data frames or lists
    of any floating type; all statistics are float64.

    Raises InputError where shapes do not fit, labels are out of range or a number is not finite.

    Example:
        >>> import numpy as np
        >>> features = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> measurements = measure(features, np.array([0, 0, 1, 1]))
        >>> measurements["class_separation"].value
        1.0
        >>> measurements["accuracy"].reason
        'there are neither logits nor a head to compute them from'
    """
    representation = represent_arrays(features, labels, logits, weight, bias, ids=ids)
    return measure_representation(representation, metrics=chosen(groups))


@undisturbed()
def measure_representation(
    representation: Representation,
    *,
    metrics: Iterable[Metric] | None = None,
    standard_errors: bool = True,
    provenance: Mapping[str, object] | None = None,
) -> Measurements:
    """The standard metrics of a representation, or others; see `measure`."""
    every = chosen(()) if metrics is None else metrics
    estimates = estimate(representation, every, standard_errors=standard_errors).by_id()
    return Measurements(
        estimates=estimates.by_name,
        size={
            "samples": representation.samples,
            "classes": len(representation.class_names),
            "features": representation.dimensions,
        },
        notes=(*remarks(representation), *estimates.notes),
        provenance=provenance or {},
        samples=estimates.samples,
    )


def remarks(representation: Representation) -> tuple[str, ...]:
    """What the data leave out or limit, one sentence each."""
    of_geometry = _remarks_on_features(representation) if representation.dimensions else ()
    return (*of_geometry, *remarks_on_logits(representation))


def _remarks_on_features(representation: Representation) -> tuple[str, ...]:
    features, directions = representation.means.features, representation.means.directions
    K, D = len(representation.occupied), representation.dimensions
    found = []
    if missing := _named(representation, features.counts == 0):
        found.append(f"classes without samples are left out of means over classes: {missing}")
    if single := _named(representation, features.counts == 1):
        found.append(
            "classes with one sample count as having no spread, are left out of d_within_unbiased, and leave "
            f"standard errors undefined: {single}"
        )
    if pairs := _named(representation, features.counts == 2):
        found.append(
            f"two samples of a class deviate alike and say nothing of how far its spread varies: {pairs}"
        )
    if zeros := int((features.counts - directions.counts).sum()):
        found.append(f"zero vectors have no direction and are left out of the cosine measures: {zeros}")
    if K - 1 > D:
        floor = math.sqrt(2 - 2 * math.sqrt(D / (K - 1)))
        found.append(
            f"{K} class means in {D} dimensions cannot form a simplex: ETF errors are at least {floor:.4f}"
        )
    if K > 1 and (rank := representation.span.rank) < min(K - 1, D):
        found.append(f"class means are linearly dependent: they span {rank} of {min(K - 1, D)} dimensions")
    return tuple(found)


def _named(representation: Representation, chosen: Tensor) -> str:
    names = [representation.class_names[k] for k in chosen.nonzero()[:, 0].tolist()]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
