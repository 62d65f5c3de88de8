"""How images are prepared, as each program that writes checkpoints does it with the settings that it states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from maxsup_analysis.architectures.known import KnownArchitecture
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INTERPOLATIONS,
    MOST_SIDE,
    Preprocessing,
)
from maxsup_analysis.stated import Stated

Arguments = Mapping[str, object]
Images = Callable[[Stated, KnownArchitecture | None, Arguments], Preprocessing | None]

HALF = (0.5, 0.5, 0.5)
# What most programs keep of the resized image.
USUAL_CROP = 224 / 256
# DeiT, ConvNeXt and Swin leave images up to this side as they are; ConvNeXt squeezes those from CONVNEXT_WHOLE on.
SMALL, CONVNEXT_WHOLE, MAE_WHOLE = 32, 384, 224
MOST_CHANNELS, MOST_MEAN, LEAST_DEVIATION, LEAST_CROP = 1 << 10, 1e3, 1e-6, 0.05
INCEPTION = ("torchvision/inception_v3", "torchvision/googlenet")
WORDS = {name: name for name in INTERPOLATIONS}
# Networks that take images of any size unless told otherwise: timm gives them those of their configuration.
DYNAMIC = frozenset({
    "timm/vit_intern300m_patch14_448", "timm/test_vit", "timm/test_vit2", "timm/test_vit3", "timm/test_vit4",
})  # fmt: skip
MODES = {"center": "", "squash": "squash", "border": "border"}


def published(known: KnownArchitecture, arguments: Arguments) -> Preprocessing:
    """As the published weights of the architecture see images, at the size and channels of this one."""
    channels, height, width = known.input_size
    sides = _sides(arguments) or (height, width)
    inputs = arguments.get("in_chans")
    mean, std = known.mean, known.std
    if isinstance(inputs, int) and inputs != channels:
        mean, std = (sum(mean) / len(mean),) * inputs, (sum(std) / len(std),) * inputs
        channels = inputs
    word = known.interpolation if known.interpolation in INTERPOLATIONS else "bicubic"
    found = Preprocessing((channels, *sides), mean, std, None, word)
    scale = known.resize_or_crop_pct
    if isinstance(scale, float):
        return found.with_crop_fraction(scale)
    return replace(found, resize=round(scale * max(sides) / max(height, width)))


def _sides(arguments: Arguments) -> tuple[int, int] | None:
    side = arguments.get("img_size", arguments.get("image_size"))
    if isinstance(side, int):
        return side, side
    return (int(side[0]), int(side[-1])) if isinstance(side, tuple | list) and side else None


def of_timm(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing | None:
    """As timm's resolve_data_config and create_transform; sizes that the network itself has go first."""
    size = _timm_size(said)
    if arguments.get("dynamic_img_size") is True or (known is not None and known.name in DYNAMIC):
        arguments = {name: value for name, value in arguments.items() if name != "img_size"}
    if known is None and size is None:
        return None
    base = published(known, arguments) if known else Preprocessing((3, 224, 224), IMAGENET_MEAN, IMAGENET_STD)
    channels = arguments.get("in_chans", size[0] if size else base.size[0])
    sides = _sides(arguments) or (size[1:] if size else base.size[1:])
    assert isinstance(channels, int)
    mode = said.item("input_img_mode")
    if mode is not None and mode.among({"RGB": 3, "L": 1}, "give --image-size, --mean and --std") != channels:
        raise mode.refused(f"but its network takes {channels} channels; give --image-size, --mean and --std")
    mean, std = _deviations(said, channels, base)
    made = Preprocessing((channels, *sides), mean, std, None, _word(said, base.interpolation))
    fraction, crop_mode = said.item("crop_pct"), said.item("crop_mode")
    scale = known.resize_or_crop_pct if known else 0.875
    crop = fraction.real(LEAST_CROP, 1.0) if fraction else scale if isinstance(scale, float) else 0.875
    squeezed = crop_mode.among(MODES, "give --resize and --image-size") if crop_mode else ""
    if squeezed:
        convention = "timm border" if squeezed == "border" else "torchvision"
        made = replace(made, resize=made.size[1:], convention=convention)
    return made.with_crop_fraction(crop)


def _timm_size(said: Stated) -> tuple[int, int, int] | None:
    """Channels, height and width: `input_size` has all of them, `img_size` is one side."""
    whole, side, inputs = said.item("input_size"), said.item("img_size"), said.item("in_chans")
    channels = inputs.whole(1, MOST_CHANNELS) if inputs else 3
    if whole is not None:
        parts = whole.parts(3)
        if len(parts) != 3:
            raise whole.refused("expected channels, height and width")
        return parts[0].whole(1, MOST_CHANNELS), parts[1].whole(1, MOST_SIDE), parts[2].whole(1, MOST_SIDE)
    return (channels, *_pair(side)) if side is not None else None


def _pair(side: Stated) -> tuple[int, int]:
    """One number for both sides, or height and width."""
    try:
        both = side.whole(1, MOST_SIDE)
        return both, both
    except InputError:
        height, width = (part.whole(1, MOST_SIDE) for part in _two(side))
        return height, width


def _two(side: Stated) -> tuple[Stated, Stated]:
    parts = side.parts(3)[-2:]
    if len(parts) != 2:
        raise side.refused("expected one side, or height and width")
    return parts[0], parts[1]


def _deviations(
    said: Stated, channels: int, base: Preprocessing
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by channel; one number is that of all."""
    mean, std = (_first(said, names) for names in (MEANS, DEVIATIONS))
    means = (
        tuple(part.real(-MOST_MEAN, MOST_MEAN) for part in mean.parts(MOST_CHANNELS)) if mean else base.mean
    )
    stds = (
        tuple(part.real(LEAST_DEVIATION, MOST_MEAN) for part in std.parts(MOST_CHANNELS)) if std else base.std
    )
    return _for_each(means, channels), _for_each(stds, channels)


def _for_each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == 1:
        return values * channels
    return values if len(values) == channels or not values else (sum(values) / len(values),) * channels


def _word(said: Stated, otherwise: str, name: str = "interpolation") -> str:
    stated = said.item(name)
    return stated.among(WORDS, "give --interpolation") if stated is not None else otherwise


def _side(said: Stated, name: str, otherwise: int) -> int:
    stated = said.item(name)
    return stated.whole(1, MOST_SIDE) if stated is not None else otherwise


def _plain(
    side: int, resize: int | tuple[int, int] | None, word: str, convention: str = "torchvision"
) -> Preprocessing:
    return Preprocessing((3, side, side), IMAGENET_MEAN, IMAGENET_STD, resize, word, convention)


def of_deit(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing:
    """DeiT's build_transform: ImageNet's mean whatever the network, and `eval_crop_ratio` of the resized image."""
    ratio = said.item("eval_crop_ratio")
    crop = ratio.real(LEAST_CROP, 1.0) if ratio is not None else USUAL_CROP
    side = _side(said, "input_size", 224)
    return _plain(side, int(side / crop) if side > SMALL else None, "bicubic")


def of_mae(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing:
    """MAE's build_transform: above 224 nothing is cropped."""
    side = _side(said, "input_size", 224)
    return _plain(side, int(side / (USUAL_CROP if side <= MAE_WHOLE else 1.0)), "bicubic")


def of_convnext(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing:
    """ConvNeXt's build_transform: from 384 on images are squeezed to the size."""
    side, fraction = _side(said, "input_size", 224), said.item("crop_pct")
    crop = fraction.real(LEAST_CROP, 1.0) if fraction is not None else USUAL_CROP
    resize = (side, side) if side >= CONVNEXT_WHOLE else int(side / crop) if side > SMALL else None
    made, flag = _plain(side, resize, "bicubic"), said.item("imagenet_default_mean_and_std")
    return made if flag is None or flag.flag() else replace(made, mean=HALF, std=HALF)


def of_swin(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing:
    """Swin's build_transform: DATA.IMG_SIZE, DATA.INTERPOLATION, and TEST.CROP, which is true unless said."""
    data, crop = said.item("DATA"), said.item("TEST", "CROP")
    nothing: Stated = Stated({}, said.file)
    side, word = _side(data or nothing, "IMG_SIZE", 224), _word(data or nothing, "bicubic", "INTERPOLATION")
    cropped = crop is None or crop.flag()
    return _plain(side, int(256 / 224 * side) if cropped and side > SMALL else (side, side), word)


def of_torchvision(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing:
    """The preset of torchvision's reference training: 256 and 224 unless said, on Pillow images or tensors."""
    inception = known is not None and known.name == INCEPTION[0]
    side = _side(said, "val_crop_size", 299 if inception else 224)
    resize, backend = _side(said, "val_resize_size", 342 if inception else 256), said.item("backend")
    conventions = {"pil": "torchvision", "PIL": "torchvision", "tensor": "torchvision on tensors"}
    convention = backend.among(conventions, "give --resize and --image-size") if backend else "torchvision"
    return _plain(side, resize, _word(said, "bilinear"), convention)


def of_examples(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing | None:
    """Of pytorch/examples: 256 and 224 for every network of torchvision; who else writes such files says nothing."""
    if known is None:
        return None
    return _plain(224, 256, "bilinear") if known.library == "torchvision" else published(known, arguments)


def of_ffcv(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing | None:
    """The centre crop of ffcv-imagenet: 224 of 256 pixels of the shorter side, at `validation.resolution`."""
    if known is None:
        return None
    side = _side(said, "validation.resolution", 256)
    return replace(published(known, arguments), size=(3, side, side), resize=round(side / USUAL_CROP))


def of_others(said: Stated, known: KnownArchitecture | None, arguments: Arguments) -> Preprocessing | None:
    """As the published weights of the architecture, with what the run's settings say by the usual names."""
    if known is None:
        return None
    found = published(known, arguments)
    side = _first(said, SIDES)
    sides = _sides(arguments) or (_pair(side) if side is not None else found.size[1:])
    mean, std = _deviations(said, found.size[0], found)
    if sides != found.size[1:]:
        scale = max(sides) / max(found.size[1:])
        resize = found.resize if not isinstance(found.resize, int) else round(found.resize * scale)
        found = replace(found, size=(found.size[0], *sides), resize=resize)
    made = replace(found, mean=mean, std=std, interpolation=_word(said, found.interpolation))
    resize, fraction = _first(said, RESIZES), said.item("crop_pct")
    made = replace(made, resize=resize.whole(1, MOST_SIDE)) if resize is not None else made
    return made.with_crop_fraction(fraction.real(LEAST_CROP, 1.0)) if fraction is not None else made


def _first(said: Stated, names: Sequence[str]) -> Stated | None:
    """What is stated by the first of some names."""
    return next((one for name in names if (one := said.item(name)) is not None), None)


# Names that programs give mean and deviation of pixels from 0 to 1.
MEANS = ("mean", "image_mean", "img_mean", "normalize_mean", "norm_mean", "dataset_mean")
DEVIATIONS = ("std", "image_std", "img_std", "normalize_std", "norm_std", "dataset_std")
# Names that programs give the side that the model sees, and the one to which images are resized before.
SIDES = (
    "image_size",
    "img_size",
    "input_size",
    "val_crop_size",
    "crop_size",
    "resolution",
    "res",
    "image_resolution",
)
RESIZES = ("val_resize_size", "resize_size", "resize")
