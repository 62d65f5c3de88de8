"""What a checkpoint is: its format, its architecture and the evidence for it, its head, how it was trained.

Everything here is read from the container's description; no weight is loaded and torch is not imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from maxsup_analysis.architectures.accepted import accepted
from maxsup_analysis.architectures.guess import describe, guess, nearest
from maxsup_analysis.architectures.known import KnownArchitecture, index
from maxsup_analysis.architectures.own_arguments import own_arguments
from maxsup_analysis.claims import Claims, claims_of
from maxsup_analysis.containers import Contents, read
from maxsup_analysis.containers.verify import beside, verified
from maxsup_analysis.errors import InputError
from maxsup_analysis.hugging_face import TransformersFolder, transformers_folder
from maxsup_analysis.labels import clean_label
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.recognition import (
    agreeing,
    decided,
    head_of,
    head_shape,
    model_of,
    own_model,
    recognised,
    together,
)
from maxsup_analysis.remarks import auxiliary_heads, remarks_on, unlike_linear
from maxsup_analysis.stated import SHOWN_LENGTH, presentable
from maxsup_analysis.weights import Weights, choose_weights

# Larger files are described without reading all of their bytes, unless asked to.
VERIFIED_AT_ONCE = 1 << 30

# Longest text of what is more than a name, and of a line.
LENGTHS, LONGEST_LINE, LABEL_WIDTH = {"evidence": 300, "warnings": 600}, 4000, 18


@dataclass(frozen=True)
class Inspection:
    """What is known of a checkpoint.

    architecture: `timm/NAME`, `torchvision/NAME`, `hf:FOLDER` or a name of this package; None where it is unknown or
    several fit. arguments: of its constructor. candidates: what fits. refused: what a file may not state of its model
    and this one does, by name, a sentence each.
    head: names of the layers that make the logits. blurpool: strided convolutions are wrapped as in ffcv-imagenet.
    sha256: of the bytes, None where they were not read. folder: what the files of transformers beside it state.
    """

    path: Path
    contents: Contents
    weights: Weights
    claims: Claims
    architecture: str | None
    arguments: Mapping[str, object]
    evidence: tuple[str, ...]
    candidates: tuple[str, ...]
    head: tuple[str, ...]
    num_classes: int | None
    feature_dim: int | None
    preprocessing: Preprocessing | None
    blurpool: bool = False
    sha256: str | None = None
    warnings: tuple[str, ...] = field(default=())
    refused: Mapping[str, str] = field(default_factory=dict)
    folder: TransformersFolder | None = None

    @property
    def unused(self) -> tuple[str, ...]:
        """What is stated of the model, its classes or its images, and not used."""
        return (*self.claims.unused, *(self.folder.unused if self.folder else ()))

    @property
    def fitting(self) -> tuple[str, ...]:
        """Every known architecture with these names and shapes, of whichever function."""
        fits = guess(self.weights.shapes)
        groups = index().by_signature.values()
        return tuple(
            known.name for fit in fits for group in groups if fit.architecture in group for known in group
        )

    def to_plain(self) -> dict[str, object]:
        """As JSON; whatever the file says is cleaned and bounded here."""
        weights, claims = self.weights, self.claims
        about = {
            "file": self.path.name,
            "container": self.contents.kind,
            "format": claims.format,
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "evidence": self.evidence,
            "candidates": self.candidates,
            "num_classes": self.num_classes,
            "feature_dim": self.feature_dim,
            "head": self.head,
            "preprocessing": self.preprocessing.to_plain() if self.preprocessing else None,
            "weights_key": weights.key,
            "weights_found": [one.key or "(top)" for one in weights.candidates],
            "tensors": len(weights.tensors),
            "parameters": sum(tensor.size for tensor in weights.tensors.values()),
            "prefixes": weights.prefixes,
            "dropped": weights.dropped[:20],
            "ema": weights.ema,
            "blurpool": self.blurpool,
            "epoch": claims.epoch,
            "training": dict(claims.training),
            "data": " ".join(_stated_data(claims)) or None,
            "classes": claims.classes,
            "sha256": self.sha256,
            "foreign_classes": self.contents.foreign[:100],
            "unused": self.unused,
            "warnings": self.warnings,
        }
        return {name: presentable(value, LENGTHS.get(name, SHOWN_LENGTH)) for name, value in about.items()}

    def to_text(self) -> str:
        """What is known, a line each, without what is not."""
        about = self.to_plain()
        arguments, training = _pairs(about["arguments"], "="), _pairs(about["training"], " ")
        head = ", ".join(map(str, self.head))
        shown = {
            "file": f"{about['file']} ({self.contents.kind})",
            "format": about["format"],
            "architecture": f"{self.architecture}({arguments})" if self.architecture else self._unknown(),
            "evidence": about["evidence"],
            "classes": self.num_classes and f"{self.num_classes} (K)",
            "features": self.feature_dim and f"{self.feature_dim} (D), what enters {head}",
            "images": str(self.preprocessing) if self.preprocessing else None,
            "weights": f"{about['tensors']} tensors, {about['parameters']:,} numbers{self._place()}",
            "BlurPool": "strided convolutions blur first, as in ffcv-imagenet" if self.blurpool else None,
            "stripped": about["prefixes"],
            "left out": about["dropped"],
            "epoch": about["epoch"],
            "training": training,
            "data": about["data"],
            "SHA-256": self.sha256 and f"{self.sha256}{self._covered()}",
            "not imported": about["foreign_classes"],
            "stated, not used": about["unused"],
            "warning": about["warnings"],
        }
        # One line each, whatever stands in it: a file cannot add a line of its own.
        return "\n".join(
            f"{name + ':':<{LABEL_WIDTH}}{clean_label(_line(value), LONGEST_LINE)}"
            for name, value in shown.items()
            if value not in ("", None, [])
        )

    def _covered(self) -> str:
        names = () if self.path.is_dir() else beside(self.path.parent)
        return f" (of the file alone: not of {', '.join(names)} beside it)" if names else ""

    def _unknown(self) -> str:
        if "architecture" in self.refused:
            return "not taken from the file, see the warning; name it with --model"
        if self.candidates:
            return "one of " + ", ".join(self.candidates) + "; say which with --model"
        return "unknown; name it with --model"

    def _place(self) -> str:
        others = [one.key or "(top)" for one in self.weights.candidates if one.key != self.weights.key]
        place = f" at {clean_label(self.weights.key)}" if self.weights.key else ""
        also = f"; also in the file: {', '.join(_clean(others[:6]))}" if others else ""
        return place + (" (averaged, EMA)" if self.weights.ema else "") + also


def _pairs(entries: object, sign: str) -> str:
    return ", ".join(f"{name}{sign}{value}" for name, value in dict(entries).items())  # type: ignore[call-overload]


def _line(value: object) -> str:
    return "; ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def inspect_checkpoint(
    path: Path, *, use_ema: bool | None = None, weights_key: str | None = None, verify: bool | None = None
) -> Inspection:
    """What a checkpoint file or folder is; raises InputError that names it where it is none.

    verify: read all bytes for checksums and digest; by default up to 1 GB.
    """
    contents = read(path)
    size = sum((path / name if name else path).stat().st_size for name in contents.files)
    checked = verify if verify is not None else size <= VERIFIED_AT_ONCE
    digest = verified(path, contents) if checked else None
    try:
        weights = choose_weights(contents, use_ema=use_ema, weights_key=weights_key)
    except InputError as refusal:
        raise InputError(f"{path}: {refusal}") from None
    found = _described(path, contents, weights)
    unread = () if digest else (f"{size / 1e9:.1f} GB were not read and not checked; --verify does it",)
    return replace(found, sha256=digest, warnings=found.warnings + unread)


def _described(path: Path, contents: Contents, weights: Weights) -> Inspection:
    claims = claims_of(contents, path.name)
    weights, renamed = recognised(weights)
    fits = guess(weights.shapes)
    chosen, evidence, doubts = decided(claims, fits)
    evidence += renamed
    known = chosen.architecture if chosen else None
    folder = transformers_folder(contents.sidecars, weights.shapes)
    model = own_model(claims) or model_of(path, contents, claims, chosen, weights, folder)
    if claims.own is not None and model.name:
        evidence = ("the file says so",)
    head = head_of(weights, known, folder)
    rows, columns = head_shape(weights, head)
    blurpool = any(name.endswith("blur_filter") for name in weights.tensors)
    if not model.name and not fits:
        evidence += (describe(weights.shapes), *_near(weights))
    preprocessing, unsound = _preprocessing(claims, folder, known, model.arguments)
    sized = "validation.resolution" in claims.settings
    warnings = (
        *contents.warnings, *_about_averages(weights), *doubts, *model.refused.values(), *unsound,
        *remarks_on(claims, rows, blurpool=blurpool, sized=sized), *auxiliary_heads(weights.shapes, known),
        *unlike_linear(claims, weights.shapes),
    )  # fmt: skip
    return Inspection(
        path, contents, weights, claims, model.name, model.arguments, tuple(evidence),
        tuple(fit.architecture.name for fit in fits), head, rows, columns, preprocessing, blurpool,
        warnings=warnings, refused=model.refused, folder=folder,
    )  # fmt: skip


def _stated_data(claims: Claims) -> list[str]:
    """The data and the split that a checkpoint of this package names."""
    stated = (claims.own.item(name) for name in ("data", "split")) if claims.own else ()
    return [one.label for one in stated if one is not None]


def _preprocessing(
    claims: Claims,
    folder: TransformersFolder | None,
    known: KnownArchitecture | None,
    arguments: Mapping[str, object],
) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """How images are prepared, and what the file says of it that is not sound."""
    if folder and folder.images:
        refusal = folder.images.refusal
        return (None, (refusal,)) if refusal else (folder.images.preprocessing, ())
    try:
        return claims.preprocessing(known, arguments), ()
    except InputError as reason:
        return None, (str(reason),)


def arguments_for(found: Inspection, name: str) -> dict[str, object]:
    """Arguments for the constructor of an architecture that make it what the weights show."""
    if name == found.architecture:
        return dict(found.arguments)
    agreed = agreeing(name, guess(found.weights.shapes))
    if agreed:
        stated = accepted(name, found.claims.arguments_of(name))
        return together(stated.arguments, agreed.arguments)
    of_library = name.startswith(("timm/", "torchvision/")) and found.num_classes is not None
    return {"num_classes": found.num_classes} if of_library else own_arguments(name, found.weights.shapes)


def _about_averages(weights: Weights) -> tuple[str, ...]:
    kinds = {one.ema for one in weights.candidates}
    if kinds != {True, False}:
        return ()
    used, other = ("averaged (EMA)", "--no-use-ema") if weights.ema else ("plain", "--use-ema")
    return (f"it holds plain and averaged (EMA) weights; the {used} ones are used, {other} takes the others",)


def _near(weights: Weights) -> tuple[str, ...]:
    best = nearest(weights.shapes, count=3)
    return tuple(
        f"nearest: {near.architecture.name} ({near.similarity:.0%} alike"
        + (f"; it has {clean_label(near.lacking[0])}" if near.lacking else "")
        + (f"; the file has {clean_label(near.surplus[0])}" if near.surplus else "")
        + ")"
        for near in best
    )


def _clean(names: object, limit: int = 120) -> list[str]:
    return [clean_label(str(name), limit) for name in names]  # type: ignore[attr-defined]
