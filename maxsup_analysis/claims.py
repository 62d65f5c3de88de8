"""What a checkpoint says about itself: who wrote it, which architecture it names, how it was trained."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from maxsup_analysis.architectures.known import KnownArchitecture, index
from maxsup_analysis.containers import Contents, Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.own_format import own_preprocessing
from maxsup_analysis.preprocessing import INTERPOLATIONS, Preprocessing, preprocessing_of
from maxsup_analysis.stated import Stated, presentable

OWN_FORMAT = "maxsup-analysis checkpoint"
# ffcv's centre crop keeps 224 of 256 pixels of the shorter side.
FFCV_CROP = 224 / 256
SMOOTHINGS = (
    "smoothing",
    "label_smoothing",
    "training.label_smoothing",
    "LABEL_SMOOTHING",
    "label-smoothing",
)
LOSS_NAMES = {"ms": "maxsup", "max_sup": "maxsup", "label_smoothing": "ls", "cross_entropy": "ce"}
MODEL_KEYS = (
    "model",
    "arch",
    "architecture",
    "model_name",
    "backbone",
    "net",
    "model.arch",
    "name",
    "encoder",
)


@dataclass(frozen=True)
class Claim:
    """An architecture that the file names, where, and what it may mean."""

    said: str
    source: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Claims:
    """What the file says about itself; nothing of it has been checked against the weights.

    settings: the flat arguments of the training run. own: the metadata of a checkpoint that this package wrote.
    """

    format: str
    architectures: tuple[Claim, ...] = ()
    epoch: int | None = None
    training: Mapping[str, object] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    settings: Mapping[str, Node] = field(default_factory=dict)
    own: Stated | None = None

    def preprocessing(
        self, known: KnownArchitecture | None, arguments: Mapping[str, object]
    ) -> Preprocessing | None:
        """How images are to be prepared: as the file says, else as the architecture's published weights take them."""
        if self.own is not None:
            return own_preprocessing(self.own)
        if "image_mean" in self.settings:
            return _of_transformers(self.settings)
        config = _timm_config(self.settings)
        if known is None:
            return None
        found = _published(known, arguments)
        side, fraction = config.pop("side", None), config.pop("crop_fraction", None)
        if isinstance(side, int):
            config["size"] = (found.size[0], side, side)
        found = replace(found, **config)  # type: ignore[arg-type]
        return found.with_crop_fraction(fraction) if isinstance(fraction, float) else found


def claims_of(contents: Contents, file: str = "the file") -> Claims:
    """What a container's tree and the files beside it say; file: its name, for sentences on what it says."""
    top = entries_of(contents.tree)
    own = top.get("metadata") if str(top.get("format", "")).startswith(OWN_FORMAT) else None
    settings = _settings(top, contents.sidecars)
    form = _format(top, contents, settings)
    return Claims(
        form,
        tuple(_architectures(top, contents, settings, timm_first=form in TIMM_FORMATS)),
        _epoch(top, own),
        _training(settings, own),
        _classes(top, contents, own),
        settings,
        None if own is None else Stated(entries_of(own), file),
    )


def _settings(top: Mapping[str, Node], sidecars: Mapping[str, Node]) -> dict[str, Node]:
    """Arguments of the run, from wherever this kind of file keeps them."""
    found: dict[str, Node] = {}
    config = entries_of(sidecars.get("config.json"))
    places = [
        sidecars.get("params.json"),
        sidecars.get("preprocessor_config.json"),
        config.get("pretrained_cfg"),
        entries_of(top.get("config")).get("MODEL"),
        top.get("hyper_parameters"),
        top.get("args"),
    ]
    for place in places:
        entries = entries_of(place)
        entries = {**entries, **entries_of(entries.get("items"))} if isinstance(place, Object) else entries
        found |= {name: entry for name, entry in entries.items() if not isinstance(entry, StoredTensor)}
    return found


FORMATS: tuple[tuple[str, Callable[[Mapping[str, Node], Mapping[str, Node]], bool]], ...] = (
    ("maxsup-analysis", lambda top, args: str(top.get("format", "")).startswith(OWN_FORMAT)),
    ("PyTorch Lightning", lambda top, args: "pytorch-lightning_version" in top),
    ("timm train.py", lambda top, args: {"arch", "state_dict", "version"} <= set(top)),
    ("mmengine", lambda top, args: {"meta", "message_hub"} <= set(top)),
    ("DINO", lambda top, args: {"student", "teacher"} <= set(top)),
    ("Swin Transformer", lambda top, args: {"model", "max_accuracy", "config"} <= set(top)),
    ("DeiT", lambda top, args: {"model", "scaler", "args", "lr_scheduler", "optimizer"} <= set(top)
        and bool({"nb_classes", "data_set"} & set(args))),
    ("MAE", lambda top, args: {"model", "scaler", "args"} <= set(top) and "global_pool" in args),
    ("ConvNeXt", lambda top, args: {"model", "scaler", "args"} <= set(top) and "layer_scale_init_value" in args),
    ("torchvision references", lambda top, args: {"model", "optimizer", "lr_scheduler", "args"} <= set(top)),
    ("OpenCLIP", lambda top, args: {"name", "state_dict", "optimizer", "scaler"} <= set(top)),
    ("pytorch/examples imagenet", lambda top, args: {"arch", "state_dict"} <= set(top)),
    ("PyTorch tutorial", lambda top, args: "model_state_dict" in top and "optimizer_state_dict" in top),
    ("VISSL", lambda top, args: "classy_state_dict" in top),
    ("Composer", lambda top, args: {"state", "rng"} <= set(top)),
    ("pytorch-cifar", lambda top, args: {"net", "acc"} <= set(top)),
    ("robustness", lambda top, args: {"schedule", "amp"} <= set(top)),
    ("Detectron2", lambda top, args: "matching_heuristics" in top or "__author__" in top),
    ("DeepSpeed", lambda top, args: "ds_version" in top),
    ("fastai", lambda top, args: {"model", "opt"} == set(top)),
)  # fmt: skip
TIMM_FORMATS = frozenset(
    {"timm train.py", "DeiT", "MAE", "ConvNeXt", "Hugging Face, timm", "Swin Transformer"}
)


def _format(top: Mapping[str, Node], contents: Contents, settings: Mapping[str, Node]) -> str:
    config = entries_of(contents.sidecars.get("config.json"))
    if "model_type" in config:
        return "Hugging Face, transformers"
    if "architecture" in config and "pretrained_cfg" in config:
        return "Hugging Face, timm"
    for name, applies in FORMATS:
        if applies(top, settings):
            return name
    if "model.arch" in settings:
        return "ffcv-imagenet"
    if isinstance(contents.tree, Object):
        return f"object of class {contents.tree.name[:80]}"
    if any(isinstance(entry, StoredTensor) for entry in top.values()):
        whole = any(name.startswith("torch.nn.modules") for name in contents.foreign)
        return "whole module" if whole else "state dict"
    return "dictionary"


def _architectures(
    top: Mapping[str, Node], contents: Contents, settings: Mapping[str, Node], *, timm_first: bool
) -> Iterator[Claim]:
    """Every architecture that is named, the most direct first."""
    config = entries_of(contents.sidecars.get("config.json"))
    said = [("`arch`", top.get("arch")), ("config.json", config.get("architecture"))]
    source = "params.json" if "params.json" in contents.sidecars else "an argument of the run"
    said += [(source, settings.get(key)) for key in MODEL_KEYS]
    for source, value in said:
        if isinstance(value, str) and value:
            yield Claim(value, source, tuple(_full_names(value, timm_first=timm_first)))


def _full_names(value: str, *, timm_first: bool) -> Iterator[str]:
    """What a name may mean: as it is, else in the libraries, the one that its program uses first."""
    name = value.removeprefix("tv_").partition(".")[0]
    libraries = ("timm", "torchvision") if timm_first else ("torchvision", "timm")
    for full in (name, *(f"{library}/{name}" for library in libraries)):
        if full in index().architectures:
            yield full


def _epoch(top: Mapping[str, Node], own: Node) -> int | None:
    training = entries_of(entries_of(own).get("training"))
    for entries in (top, training, entries_of(top.get("meta"))):
        for name in ("epoch", "epochs"):
            value = entries.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def _training(settings: Mapping[str, Node], own: Node) -> dict[str, object]:
    """Loss and its strength, where the file says so."""
    if own is not None:
        return {
            name: presentable(value) for name, value in entries_of(entries_of(own).get("training")).items()
        }
    alpha = next((settings[name] for name in SMOOTHINGS if isinstance(settings.get(name), int | float)), None)
    named = next(
        (settings[name] for name in ("loss", "criterion") if isinstance(settings.get(name), str)), None
    )
    loss = LOSS_NAMES.get(named, named) if isinstance(named, str) else None
    if any("maxsup" in f"{name}={value}".lower().replace("_", "") and value for name, value in settings.items()
           if isinstance(value, str | bool)):  # fmt: skip
        loss = "maxsup"
    if loss is None and isinstance(alpha, int | float):
        loss = "ls" if alpha > 0 else "ce"
    found = {"loss": loss, "alpha": float(alpha) if isinstance(alpha, int | float) else None}
    return {name: value for name, value in found.items() if value is not None}


def _classes(top: Mapping[str, Node], contents: Contents, own: Node) -> tuple[str, ...] | None:
    """Names of the classes in the order of the outputs."""
    config = entries_of(contents.sidecars.get("config.json"))
    labels = entries_of(config.get("id2label"))
    numbered = [labels.get(str(k)) for k in range(len(labels))]
    meta = entries_of(entries_of(top.get("meta")).get("dataset_meta"))
    for found in (entries_of(own).get("classes"), meta.get("classes"), config.get("label_names"), tuple(numbered),
                  top.get("classes"), top.get("class_names")):  # fmt: skip
        named = isinstance(found, tuple) and bool(found) and all(isinstance(name, str) for name in found)
        # transformers numbers the classes where nobody named them.
        if isinstance(found, tuple) and named and not all(str(name).startswith("LABEL_") for name in found):
            return tuple(str(name) for name in found)
    return None


def _of_transformers(settings: Mapping[str, Node]) -> Preprocessing | None:
    """What transformers' preprocessor_config.json says: resize to a shorter side and crop, or to both sides."""
    mean, std = (presentable(settings.get(name)) for name in ("image_mean", "image_std"))
    size, crop = entries_of(settings.get("size")), entries_of(settings.get("crop_size"))
    name = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}.get(settings.get("resample"), "bilinear")  # type: ignore[call-overload]
    edge, whole = size.get("shortest_edge"), (size.get("height"), size.get("width"))
    cropped = (crop.get("height"), crop.get("width"))
    fraction = settings.get("crop_pct")
    plan: dict[str, object] = {"mean": mean, "std": std, "interpolation": name}
    channels = len(mean) if isinstance(mean, list) else 3
    if isinstance(edge, int):
        sides = cropped if all(isinstance(side, int) for side in cropped) else (edge, edge)
        resize = int(edge / fraction) if isinstance(fraction, float) and edge < 384 else edge
        return preprocessing_of({**plan, "size": [channels, *sides], "resize": resize})
    if all(isinstance(side, int) for side in whole):
        return preprocessing_of({**plan, "size": [channels, *whole]})
    return None


def _published(known: KnownArchitecture, arguments: Mapping[str, object]) -> Preprocessing:
    """As the published weights of the architecture see images, at the size and channels of this one."""
    channels, height, width = known.input_size
    side = arguments.get("img_size", arguments.get("image_size"))
    sides = (
        (side, side)
        if isinstance(side, int)
        else tuple(side)
        if isinstance(side, tuple | list)
        else (height, width)
    )
    inputs = arguments.get("in_chans")
    mean, std = known.mean, known.std
    if isinstance(inputs, int) and inputs != channels:
        mean, std = (sum(mean) / len(mean),) * inputs, (sum(std) / len(std),) * inputs
        channels = inputs
    found = Preprocessing(
        (channels, int(sides[0]), int(sides[1])), mean, std, None, _interpolation(known.interpolation)
    )
    scale = known.resize_or_crop_pct
    if isinstance(scale, float):
        return found.with_crop_fraction(scale)
    return replace(found, resize=round(scale * max(sides) / max(height, width)))


def _interpolation(name: object) -> str:
    return str(name) if name in INTERPOLATIONS else "bicubic"


def _timm_config(settings: Mapping[str, Node]) -> dict[str, object]:
    """Arguments of the run that speak of images, by the names that training programs give them."""
    found: dict[str, object] = {}
    for name in ("mean", "std"):
        value = settings.get(name)
        if isinstance(value, tuple) and value and all(isinstance(number, int | float) for number in value):
            found[name] = tuple(float(number) for number in value)  # type: ignore[arg-type]
    if settings.get("interpolation") in INTERPOLATIONS:
        found["interpolation"] = settings["interpolation"]
    fraction = settings.get("crop_pct")
    if isinstance(fraction, float) and 0 < fraction <= 1:
        found["crop_fraction"] = fraction
    resolution = settings.get("validation.resolution")
    if isinstance(resolution, int) and 8 <= resolution <= 4096:
        found |= {"side": resolution, "resize": round(resolution / FFCV_CROP)}
    crop, resize = settings.get("val_crop_size"), settings.get("val_resize_size")
    if isinstance(crop, int) and 8 <= crop <= 4096:
        found["side"] = crop
    if isinstance(resize, int) and 8 <= resize <= 4096:
        found["resize"] = resize
    return found
