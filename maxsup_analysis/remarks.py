"""What has to be known of what a file states: what is not told, contradicts the tensors, or is left; sentences."""

from collections.abc import Iterator, Mapping

from maxsup_analysis.architectures.known import KnownArchitecture
from maxsup_analysis.claims import Claims
from maxsup_analysis.dialects import LONG_TAILED, SHOWN_BY_TENSORS
from maxsup_analysis.labels import clean_label
from maxsup_analysis.stated import Stated, shown

CLASS_COUNTS = tuple(name for name in SHOWN_BY_TENSORS if "class" in name.lower())


def remarks_on(claims: Claims, rows: int | None, *, blurpool: bool, sized: bool) -> Iterator[str]:
    """Sentences on what a file states.

    rows: classes as the head has them. blurpool: strided convolutions blur first. sized: the file states what its
    program makes of images.
    """
    if claims.loss.unknown:
        yield f"the loss is not told by the file: {claims.loss.unknown}; name the run yourself, NAME=PATH"
    yield from claims.names.remarks
    if claims.classes and rows is not None and rows > 1 and len(claims.classes) != rows:
        place = clean_label(claims.names.place)
        yield (
            f"it names {len(claims.classes):,} classes ({place}) but its head has {rows:,} rows; the names are not "
            "used"
        )
    yield from _contradictions(claims, rows)
    if claims.class_map:
        yield (
            f"its run numbered the classes by a file, {clean_label(claims.class_map)}, which is not in the checkpoint; "
            "give that file with --class-map"
        )
    yield from _test_size(claims)
    if rows == 1:
        yield (
            "its head has one row, the logit of the second of two classes; the logits here are 0 and that one, whose "
            "softmax is its sigmoid"
        )
    if blurpool and not sized:
        yield (
            "its strided convolutions blur first as in ffcv-imagenet, whose evaluation takes images of 256 pixels; the "
            "file says nothing of it: give --image-size 256 where that holds"
        )


def auxiliary_heads(shapes: Mapping[str, tuple[int, ...]], known: KnownArchitecture | None) -> Iterator[str]:
    """A sentence where heads that make no output in evaluation are for other classes than the one that does."""
    rows = {
        layer: shapes[f"{layer}.weight"][0]
        for layer in (known.heads if known else ())
        if f"{layer}.weight" in shapes
    }
    ours = {rows[layer] for layer in (known.head if known else ()) if layer in rows}
    others = [layer for layer, count in rows.items() if ours and count not in ours]
    if others:
        yield (
            f"{', '.join(others)} have {rows[others[0]]:,} rows, the head {ours.pop():,}; they make no output in "
            "evaluation and are left out"
        )


def unlike_linear(claims: Claims, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """A sentence on the classifier of Long-Tailed Recognition that normalises features and weights by groups."""
    if (
        claims.dialect.name == LONG_TAILED
        and "classifier.weight" in shapes
        and "classifier.bias" not in shapes
    ):
        yield (
            "its classifier has no bias, as the causal-norm classifier, which is no linear head: name the code of body "
            "and classifier with --model file.py:factory, and the layer whose output are the features with --layer"
        )


def _contradictions(claims: Claims, rows: int | None) -> Iterator[str]:
    for name in CLASS_COUNTS:
        value = claims.settings.get(name)
        if (
            isinstance(value, int)
            and rows is not None
            and value not in (rows, 0)
            and not isinstance(value, bool)
        ):
            yield f"it states {name} {shown(value)}, but its head has {rows:,} rows, which are used"


def _test_size(claims: Claims) -> Iterator[str]:
    """Timm's folders may name a larger size for tests, which timm itself uses only where it is asked to."""
    said = Stated(claims.settings, claims.file)
    size, crop = said.item("test_input_size"), said.item("test_crop_pct")
    if claims.dialect.name == "Hugging Face, timm" and (size is not None or crop is not None):
        flags = [f"{size} pixels (test_input_size)"] if size is not None else []
        flags += [f"a crop of {crop} (test_crop_pct)"] if crop is not None else []
        yield f"it recommends {' and '.join(flags)} for tests, as timm does only where it is asked; see --image-size"
