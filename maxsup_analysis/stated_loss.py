"""The loss that a file says it was trained with, and its strength; never more than it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from maxsup_analysis.containers import Node, Object
from maxsup_analysis.containers.contents import entries_of

SMOOTHINGS = (
    "smoothing", "label_smoothing", "training.label_smoothing", "LABEL_SMOOTHING", "label-smoothing",
    "loss.label_smoothing", "loss.smoothing",
)  # fmt: skip
LOSS_NAMES = {
    "ms": "maxsup", "max_sup": "maxsup", "maxsup": "maxsup", "maxsuppression": "maxsup", "label_smoothing": "ls",
    "ls": "ls", "lsce": "ls", "labelsmoothing": "ls", "labelsmoothingcrossentropy": "ls", "cross_entropy": "ce",
    "crossentropy": "ce", "crossentropyloss": "ce", "ce": "ce", "lp": "logit_penalty",
}  # fmt: skip
# The strength of MaxSup in the first and in the last epoch, written into the authors' programs.
MAXSUP_BEGIN, MAXSUP_END = 0.1, 0.2
# The label smoothing of their programs where it is a constant of the code.
LSCE_SMOOTHING = 0.1
# Names that only the authors' models.py registers.
AUTHORS_MODELS = ("our_patch16_224",)
FFCV_DEFAULT = 0.1
# Of a loss; what a file states beyond it, or as NaN, is none.
MOST_STRENGTH = 1e6


@dataclass(frozen=True)
class StatedLoss:
    """loss, alpha and alpha_end as far as the file says them; unknown: why it does not say the loss."""

    training: Mapping[str, object] = field(default_factory=dict)
    unknown: str = ""


def loss_of(form: str, settings: Mapping[str, Node]) -> StatedLoss:
    """The loss that a file of this format states."""
    why = _untold(form, settings)
    if why:
        return StatedLoss({}, why)
    settings = {**settings, **_group(settings.get("loss")), **_group(settings.get("criterion"))}
    alpha = _strength(settings)
    loss = _named(settings)
    if loss == "maxsup":
        return StatedLoss(_maxsup(settings))
    if loss is None and any(settings.get(name) is True for name in ("bce_loss", "jsd_loss")):
        loss = next(
            name.removesuffix("_loss") for name in ("bce_loss", "jsd_loss") if settings.get(name) is True
        )
    if loss is None and alpha is not None:
        loss = "ls" if alpha > 0 else "ce"
    if str(settings.get("loss")).lower() == "lsce":
        alpha = LSCE_SMOOTHING
    found = {"loss": loss, "alpha": None if loss == "ce" and alpha is None else alpha}
    return StatedLoss({name: value for name, value in found.items() if value is not None})


def _untold(form: str, settings: Mapping[str, Node]) -> str:
    """Why the arguments do not tell the loss, where they do not."""
    model = settings.get("model")
    if form == "DeiT" and model in AUTHORS_MODELS:
        return (
            f"args.model is {model}, a network of the MaxSup authors' DeiT code, which adds MaxSup whatever the "
            "arguments say (smoothing is that of its cross entropy alone)"
        )
    if form == "torchvision references" and "seed" in settings and not _says_maxsup(settings):
        return (
            "args has a seed, which torchvision's program does not take and that of the MaxSup authors does; theirs "
            "adds MaxSup whatever the arguments say"
        )
    if form == "ffcv-imagenet" and _strength(settings) == FFCV_DEFAULT and _named(settings) is None:
        return (
            f"training.label_smoothing is {FFCV_DEFAULT}, the default of ffcv-imagenet, which stands there in runs "
            "with another loss too"
        )
    return ""


def _group(node: Node) -> dict[str, Node]:
    """The entries of a loss that is a table of its own."""
    if not isinstance(node, Mapping | Object):
        return {}
    return {f"loss.{name}": entry for name, entry in entries_of(node).items()}


def _strength(settings: Mapping[str, Node]) -> float | None:
    for name in SMOOTHINGS:
        strength = _number(settings.get(name))
        if strength is not None:
            return strength
    return None


def _number(value: Node) -> float | None:
    """A number that a strength may be; None for anything else, such as whole numbers that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_STRENGTH:
        return None
    return float(value)


def _named(settings: Mapping[str, Node]) -> str | None:
    """The loss by its name; MaxSup also by a flag that is called so."""
    if _says_maxsup(settings):
        return "maxsup"
    for name in (
        "loss.loss_type",
        "loss.name",
        "loss.type",
        "loss",
        "criterion",
        "loss_type",
        "loss_name",
        "loss_fn",
    ):
        value = settings.get(name)
        if isinstance(value, str) and value:
            return LOSS_NAMES.get(value.lower().replace("-", "_"), LOSS_NAMES.get(_letters(value), value))
    return None


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _says_maxsup(settings: Mapping[str, Node]) -> bool:
    return any(
        "maxsup" in _letters(f"{name}{value if isinstance(value, str) else ''}")
        for name, value in settings.items()
        if isinstance(value, str | bool)
        and value
        and not name.lower().endswith(("path", "dir", "output", "name"))
    )


def _maxsup(settings: Mapping[str, Node]) -> dict[str, object]:
    """MaxSup with its strength in the first and the last epoch: as stated, else as in the authors' programs."""
    begin, end = (_number(settings.get(f"loss.{name}")) for name in ("begin_lambda", "end_lambda"))
    if begin is None or end is None:
        begin, end = MAXSUP_BEGIN, MAXSUP_END
    return {"loss": "maxsup", "alpha": begin, "alpha_end": end}
