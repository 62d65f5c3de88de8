"""Where the numbers come from: a table of one row a class, and one of ten groups of samples by confidence."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.class_columns import OF_LOGITS, ClassColumns, class_columns, logit_columns
from maxsup_analysis.class_rows import map_classes
from maxsup_analysis.class_spectrum import class_spectra
from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.spectrum import effective_rank_within
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows
from maxsup_analysis.sampling import NORMAL_95, direction_factors, spread_factors
from maxsup_analysis.surroundings import undisturbed
from maxsup_analysis.table import Table
from maxsup_analysis.ties import first_largest, tied_groups
from maxsup_analysis.tile import Tile

FORMAT = "maxsup-analysis breakdown, version 1"
GROUPS = 10
# Squared distances between means below this share of the features' own variance are rounding, not distance.
NEGLIGIBLE = 1e-28
STRIP = 2**22  # numbers of a K x K matrix that are in memory at once
NAMED = 10
ROUNDED = 8 * torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Breakdown:
    """A table, and what a reader must know of it: why entries are NaN, and what is left out."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.frame

    def to_json(self) -> str:
        """Strict JSON: the rows, where entries that are NaN are null, and the notes."""
        rows = self.frame.reset_index().to_dict("records")
        plain = [{name: _or_none(entry) for name, entry in row.items()} for row in rows]
        document = {"format": FORMAT, "rows": plain, "notes": list(self.notes)}
        return json.dumps(document, indent=2, allow_nan=False)


BREAKDOWNS: Table[Callable[[Representation], Breakdown]] = Table("breakdown")


@dataclass(frozen=True)
class Neighbours:
    """For each of M classes the one whose mean is nearest, by its place among them, and the CDNV with it.

    cdnv: the mean of both variances over the squared distance of both means; NaN where the means coincide.
    """

    places: Int64[Tensor, " M"]
    cdnv: Float64[Tensor, " M"]


@undisturbed()
def by_class(representation: Representation) -> Breakdown:
    """One row for each class that has samples, over its samples.

    n: how many. d_within: mean cosine distance between two of them, each with itself included;
    d_within_unbiased: without. variance: mean squared distance from the class mean. nearest: the class whose mean
    is nearest; cdnv: the mean of both variances over the squared distance of both means. effective_rank: of the
    covariance of the first 512. accuracy; ece: in 15 bins, biased upwards where samples are few; confidence: of
    the top-1 class at temperature 1. logit_regularisation, logit_error_amplification: the halves of label
    smoothing over alpha, which add up to z_gt - mean z; logit_maxsup_penalty: z_max - mean z.
    Columns that end in _error: the standard error of samples drawn from the class; of accuracy half of Wilson's 95 %
    interval over 1.96, which is not 0 where all are right.
    """
    K, occupied = len(representation.class_names), representation.occupied
    summed = partial(class_columns, representation=representation.summary, classes=K)
    sums = representation.blocks.total(summed)
    assert sums is not None, "a representation has rows"
    frame = _class_frame(representation, sums.select(occupied))
    return Breakdown(frame, tuple(_class_notes(representation, frame, sums.select(occupied))))


@undisturbed()
def by_decile(representation: Representation) -> Breakdown:
    """Ten groups of equal size, from the least to the most confident samples, each with three rows.

    The rows of a group are of all its samples, of the correct ones and of the wrong ones. n: how many. lowest,
    highest: their top-1 confidence at temperature 1. accuracy: their share of correct ones. logit_regularisation,
    logit_error_amplification: the means of label smoothing's halves over alpha; label_smoothing: their sum.
    logit_maxsup_penalty: the mean of z_max - mean z, which is label_smoothing for correct samples, more for wrong
    ones.
    Samples of equal confidence stay in the order of the rows; sizes differ by one at most, the first are larger.
    """
    found = representation.blocks.map(partial(_logit_columns, representation=representation.summary))
    columns = torch.cat(list(found))
    confidences, order = columns[:, OF_LOGITS.index("confidence")].sort(stable=True)
    # Those that are equal up to rounding stay in the order of the rows.
    places = torch.empty_like(order).index_copy_(0, order, tied_groups(confidences)[0])
    order = places.argsort(stable=True)
    groups = columns[order].tensor_split(min(GROUPS, len(columns)))
    rows = [row for number, group in enumerate(groups, 1) for row in _group_rows(number, group)]
    frame = pd.DataFrame(rows).set_index(["decile", "samples"])
    return Breakdown(frame, tuple(_decile_notes(representation, frame)))


BREAKDOWNS.add("class", by_class)
BREAKDOWNS.add("decile", by_decile)


def nearest_classes(centred_means: Float64[Tensor, "M D"], variances: Float64[Tensor, " M"]) -> Neighbours:
    """Of each of at least two classes; of several equally near ones, the first."""
    # A common factor changes nothing, and squares of large numbers overflow.
    scale = centred_means.abs().amax().clamp(min=torch.finfo(torch.float64).tiny)
    means, widths = centred_means / scale, variances / scale / scale
    squares = means.square().sum(1)
    places = torch.cat(list(_nearest_places(means, squares)))
    # From the difference itself: the product loses the digits of distances that are small.
    gaps = (means - means[places]).square().sum(1)
    apart = gaps > NEGLIGIBLE * (squares.mean() + widths.mean())
    cdnv = (widths + widths[places]) / (2 * gaps)
    return Neighbours(places, torch.where(apart, cdnv, torch.nan))


def _nearest_places(means: Float64[Tensor, "M D"], squares: Float64[Tensor, " M"]) -> Iterator[Tensor]:
    """A strip of the M x M distances at a time."""
    M = len(means)
    height = max(STRIP // M, 1)
    for start in range(0, M, height):
        strip = torch.addmm(squares, means[start : start + height], means.T, alpha=-2)
        own = torch.arange(len(strip))
        strip[own, start + own] = torch.inf
        # Products round a squared distance by some ulp of the squared lengths.
        yield first_largest(-strip, ROUNDED * (squares[start : start + height] + squares.max()))


def _class_frame(representation: Representation, sums: ClassColumns) -> pd.DataFrame:
    """The table of the classes that have samples."""
    names = [representation.class_names[k] for k in representation.occupied.tolist()]
    n, directed = sums.samples.counts, sums.directions.counts
    samples, errors = _named_columns(sums.samples.means), _named_columns(sums.samples.errors)
    d_within = torch.where(directed > 0, sums.directions.means[:, 0], torch.nan)
    nearest, cdnv = _neighbours(representation, names, samples["variance"])
    factors = direction_factors(directed, d_within * directed)
    frame = pd.DataFrame({
        "class": names,
        "n": n.long().numpy(),
        "d_within": d_within.numpy(),
        "d_within_error": (factors * _of_three(sums.directions.errors[:, 0], directed)).numpy(),
        "d_within_unbiased": torch.where(directed > 1, d_within * directed / (directed - 1), torch.nan).numpy(),
        "variance": samples["variance"].numpy(),
        "variance_error": (spread_factors(n) * _of_three(errors["variance"], n)).numpy(),
        "nearest": nearest,
        "cdnv": cdnv.numpy(),
        "effective_rank": _effective_ranks(representation).numpy(),
        "accuracy": samples["accuracy"].numpy(),
        "accuracy_error": _wilson_errors(samples["accuracy"], n).numpy(),
        "ece": (sums.gaps.abs().sum(1) / n).numpy(),
        **{name: samples[name].numpy() for name in OF_LOGITS if name != "accuracy"},
    })  # fmt: skip
    frame.index = pd.Index(representation.occupied.tolist(), name="label")
    return frame.replace([math.inf, -math.inf], math.nan)


def _of_three(errors: Float64[Tensor, " M"], counts: Float64[Tensor, " M"]) -> Float64[Tensor, " M"]:
    """Standard errors of mean squared distances from a mean: two samples are equally far from theirs, always."""
    return torch.where(counts > 2, errors, torch.nan)


def _wilson_errors(shares: Float64[Tensor, " M"], counts: Float64[Tensor, " M"]) -> Float64[Tensor, " M"]:
    """Half of Wilson's 95 % interval in standard errors: not 0 where all samples of a class are right, or wrong."""
    n, z = counts.clamp(min=1), NORMAL_95
    errors = (shares * (1 - shares) / n + z**2 / (4 * n**2)).sqrt() / (1 + z**2 / n)
    return torch.where(counts > 1, errors, torch.nan)


def _named_columns(columns: Float64[Tensor, "M C"]) -> dict[str, Tensor]:
    return dict(zip(("variance", *OF_LOGITS), columns.T, strict=True))


def _neighbours(
    representation: Representation, names: list[str], variances: Float64[Tensor, " M"]
) -> tuple[list[str | None], Float64[Tensor, " M"]]:
    """The name of the nearest class, and the CDNV with it; None and NaN where there is but one."""
    if len(names) < 2:
        return [None], torch.full_like(variances, torch.nan)
    found = nearest_classes(representation.class_means.centred_means, variances)
    return [names[place] for place in found.places.tolist()], found.cdnv


def _effective_ranks(representation: Representation) -> Float64[Tensor, " M"]:
    """Of each class that has samples; NaN where they coincide."""
    counts = representation.means.features.counts
    return torch.tensor(
        list(map_classes(_effective_rank, representation.blocks, counts)), dtype=torch.float64
    )


def _effective_rank(label: int, rows: Rows) -> float:
    spectrum = class_spectra(rows.features, shares=False)["covariance"]
    if isinstance(spectrum, Undefined):
        return math.nan
    try:
        return effective_rank_within(spectrum.values).item()
    except Undefined:
        return math.nan


def _class_notes(representation: Representation, frame: pd.DataFrame, sums: ClassColumns) -> Iterator[str]:
    """What is left out, and why entries are NaN, one sentence each."""
    if reason := _why_no_logits(representation):
        yield f"accuracy and what else depends on logits is unknown: {reason}"
    missing = (representation.means.features.counts == 0).nonzero()[:, 0].tolist()
    if missing:
        yield f"classes without samples have no row: {_listed(representation.class_names[k] for k in missing)}"
    if len(frame) < 2:
        yield "only one class has samples, so none is nearest"
    n, directed = sums.samples.counts.numpy(), sums.directions.counts.numpy()
    known, ranked, apart = (frame[name].notna().to_numpy() for name in ("variance", "effective_rank", "cdnv"))
    if zeros := int((n - directed).sum()):
        yield f"zero vectors have no direction and are left out of d_within: {zeros}"
    reasons = {
        "only zero vectors, hence no d_within": directed == 0,
        "one sample, hence no unbiased d_within, effective rank or standard error": n == 1,
        "two samples, equally far from their mean, hence no standard error of d_within or variance": n == 2,
        "samples that coincide, hence no effective rank": ~ranked & (n > 1) & known,
        "the mean of their nearest class, hence no cdnv": ~apart & (len(frame) > 1) & known,
        "squares beyond the range of float64, hence no variance; scale the features": ~known,
    }
    for words, chosen in reasons.items():
        if chosen.any():
            yield f"classes with {words}: {_listed(frame['class'].to_numpy()[chosen])}"


def _decile_notes(representation: Representation, frame: pd.DataFrame) -> Iterator[str]:
    """Why there are no ten groups, and why entries are NaN."""
    if reason := _why_no_logits(representation):
        yield f"samples are in no order of confidence, and nothing of them is known: {reason}"
        return
    groups = frame.index.get_level_values("decile").unique()
    if len(groups) < GROUPS:
        yield f"{representation.samples} samples make {len(groups)} groups, not {GROUPS}"
    empty = frame.index[frame["n"].to_numpy() == 0].tolist()
    for kind in ("correct", "wrong"):
        if numbers := [number for number, samples in empty if samples == kind]:
            yield f"groups without {kind} samples have no means of them: {_listed(numbers)}"


def _logit_columns(rows: Rows, representation: Representation) -> Float64[Tensor, "B C"]:
    return torch.cat([logit_columns(Tile(part, representation)) for part in rows.tiles()])


def _group_rows(number: int, group: Float64[Tensor, "B C"]) -> Iterator[dict[str, object]]:
    """One row for all samples of a group, one for the correct and one for the wrong ones."""
    hits = group[:, OF_LOGITS.index("accuracy")]
    for kind, members in (("all", group), ("correct", group[hits == 1]), ("wrong", group[hits == 0])):
        means = dict(zip(OF_LOGITS, members.mean(0).tolist(), strict=True))
        confidences = members[:, OF_LOGITS.index("confidence")].tolist()
        yield {
            "decile": number,
            "samples": kind,
            "n": len(members),
            "lowest": min(confidences, default=math.nan),
            "highest": max(confidences, default=math.nan),
            "accuracy": means["accuracy"],
            "logit_regularisation": means["logit_regularisation"],
            "logit_error_amplification": means["logit_error_amplification"],
            "label_smoothing": means["logit_regularisation"] + means["logit_error_amplification"],
            "logit_maxsup_penalty": means["logit_maxsup_penalty"],
        }


def _why_no_logits(representation: Representation) -> str | None:
    """The reason where there are no logits."""
    first = next(iter(representation.blocks))
    try:
        _ = Tile(first.part(slice(0, 1)), representation).logits
    except Undefined as reason:
        return str(reason)
    return None


def _listed(names: Iterable[object]) -> str:
    every = list(map(str, names))
    return ", ".join(every[:NAMED]) + (f" and {len(every) - NAMED} more" if len(every) > NAMED else "")


def _or_none(entry: object) -> object:
    """What JSON has a word for."""
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry
