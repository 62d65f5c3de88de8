"""What transformers' preprocessor_config.json says of images, as the processor that it names would do it.

Processors are known by name, one by one: what a file does not say, the class of transformers has a default for, and
some of them do what no file says. A name that is not in the table is refused, and so is what cannot be done here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import IMAGENET_MEAN, IMAGENET_STD, MOST_SIDE, Preprocessing, bounded
from maxsup_analysis.stated import Stated

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
# torchvision resizes no tensors with these.
PILLOW_ONLY = ("box", "hamming")
# From here on ConvNeXt's processor brings images to a square, without a crop.
CONVNEXT_WHOLE = 384
# A side that only stands for one, until the user says which.
NOMINAL_SIDE = 224
Sides = int | tuple[int, int]


@dataclass(frozen=True)
class Processor:
    """Defaults of an image processor of transformers, and what only it does.

    size: length of the shorter side, or height and width. square: one number is both sides.
    crops: its crop is done where it is asked for.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: str
    size: Sides
    crop: int | None = None
    centre_crop: bool = False
    square: bool = True
    crops: bool = True
    crop_fraction: float | None = None
    blue_first: bool = False
    normalises: bool = True
    include_top: bool = False
    special: str = ""


def _shorter(side: int, **more: object) -> Processor:
    """The defaults of those that resize the shorter side and crop."""
    usual = Processor(CLIP_MEAN, CLIP_STD, "bicubic", side, 224, centre_crop=True, square=False)
    return replace(usual, **more)  # type: ignore[arg-type]


PROCESSORS: Mapping[str, Processor] = {
    "BeitImageProcessor": Processor(HALF, HALF, "bicubic", (224, 224), 224),
    "BitImageProcessor": _shorter(224),
    "CLIPImageProcessor": _shorter(224),
    "ConvNextImageProcessor": Processor(
        HALF, HALF, "bicubic", 384, square=False, crop_fraction=224 / 256, special="convnext"
    ),
    "DeiTImageProcessor": Processor(HALF, HALF, "bicubic", (256, 256), 224, centre_crop=True),
    "EfficientNetImageProcessor": Processor(HALF, HALF, "bicubic", (346, 346), 289, include_top=True),
    "LevitImageProcessor": _shorter(224, mean=IMAGENET_MEAN, std=IMAGENET_STD, special="levit"),
    "MobileNetV1ImageProcessor": _shorter(256, mean=HALF, std=HALF, resample="bilinear"),
    "MobileNetV2ImageProcessor": _shorter(256, mean=HALF, std=HALF, resample="bilinear"),
    "MobileViTImageProcessor": _shorter(224, crop=256, blue_first=True, normalises=False),
    "PoolFormerImageProcessor": _shorter(
        224, mean=IMAGENET_MEAN, std=IMAGENET_STD, crop_fraction=0.9, special="poolformer"
    ),
    "PvtImageProcessor": Processor(IMAGENET_MEAN, IMAGENET_STD, "bicubic", (224, 224)),
    "SegformerImageProcessor": Processor(IMAGENET_MEAN, IMAGENET_STD, "bilinear", (512, 512), crops=False),
    "SiglipImageProcessor": Processor(HALF, HALF, "bicubic", (224, 224), square=False),
    "ViTImageProcessor": Processor(HALF, HALF, "bilinear", (224, 224)),
}
# Where the file does not name its processor, the kind of model does.
OF_MODELS: Mapping[str, str] = {
    "beit": "Beit", "bit": "Bit", "clip": "CLIP", "convnext": "ConvNext", "convnextv2": "ConvNext", "cvt": "ConvNext",
    "data2vec-vision": "Beit", "deit": "DeiT", "dinov2": "Bit",
    "efficientnet": "EfficientNet", "focalnet": "Bit", "hiera": "Bit", "ijepa": "ViT", "levit": "Levit",
    "mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2", "mobilevit": "MobileViT",
    "mobilevitv2": "MobileViT", "poolformer": "PoolFormer", "pvt": "Pvt", "pvt_v2": "Pvt", "regnet": "ConvNext",
    "resnet": "ConvNext", "segformer": "Segformer", "siglip": "Siglip", "swiftformer": "ViT", "swin": "ViT",
    "swinv2": "ViT", "vit": "ViT", "vit_msn": "ViT",
}  # fmt: skip
# Whatever the ending, transformers 5 takes the processor that works on tensors.
NAMED: Mapping[str, Processor] = {
    name.replace("ImageProcessor", spelling): processor
    for name, processor in PROCESSORS.items()
    for spelling in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
}
USED = dict.fromkeys((
    "image_processor_type", "feature_extractor_type", "do_resize", "size", "default_to_square", "resample",
    "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
))  # fmt: skip
# What only some processors know.
USED_BY_SOME: Mapping[str, Callable[[Processor], bool]] = {
    "crop_pct": lambda processor: processor.crop_fraction is not None,
    "rescale_offset": lambda processor: processor.include_top,
    "include_top": lambda processor: processor.include_top,
    "do_flip_channel_order": lambda processor: processor.blue_first,
}
# Of other tasks, or of how arrays are passed around; images here are RGB, laid out as the model takes them.
IDLE = dict.fromkeys((
    "processor_class", "do_convert_rgb", "data_format", "input_data_format", "device", "return_tensors",
    "disable_grouping", "do_reduce_labels", "reduce_labels", "image_seq_length", "_valid_processor_keys",
))  # fmt: skip
# What changes images and is not done here.
REFUSED = ("auto_map", "do_pad", "use_square_size", "do_thumbnail", "do_align_long_axis", "resize_short")
KNOWN = {name: name for name in (*USED, *USED_BY_SOME, *IDLE, *REFUSED)}
NOTHING = Stated(None, "")
ADVICE = "say how images are prepared with --image-size (and --resize, --mean, --std)"


@dataclass(frozen=True)
class StatedImages:
    """What a folder says of how images are prepared.

    preprocessing: None where not even mean and deviation are known.
    refusal: why it cannot be done as stated; then only the mean, the deviation and the order of the channels count.
    unused: names of what is stated and not used.
    """

    preprocessing: Preprocessing | None
    refusal: str | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Fields:
    """The entries of a preprocessor_config.json that are known, by name; what is null is there, and off."""

    said: Stated[object]
    fields: Mapping[str, Stated[object]]

    def flag(self, name: str, *, default: bool) -> bool:
        entry = self.fields.get(name)
        return default if entry is None else not entry.is_nothing and entry.flag()

    def refused(self, why: str) -> InputError:
        return InputError(f"{self.said.where} {why}; {ADVICE}")


def stated_images(said: Stated[object], kind: str | None, channels: int) -> StatedImages:
    """What a preprocessor_config.json says, for a kind of model and its number of channels."""
    fields = _Fields(
        said, {name.among(KNOWN, ADVICE): entry for name, entry in said.entries() if name.is_among(KNOWN)}
    )
    colours, unused = None, ()
    try:
        processor = _processor(fields, kind)
        unused = tuple(_unused(said, processor))
        colours = _colours(fields, processor, channels)
        for name in REFUSED:
            if not fields.fields.get(name, NOTHING).is_nothing:
                raise fields.fields[name].refused(f"which is not done here; {ADVICE}")
        return StatedImages(bounded(_placed(fields, processor, colours)), None, unused)
    except InputError as refusal:
        return StatedImages(colours, str(refusal), unused)


def _unused(said: Stated[object], processor: Processor) -> Iterator[str]:
    others = {name: 0 for name, applies in USED_BY_SOME.items() if not applies(processor)}
    for name, entry in said.entries():
        if not entry.is_nothing and (name.is_among(others) or not name.is_among(KNOWN)):
            yield name.label


def _processor(said: _Fields, kind: str | None) -> Processor:
    for name in ("image_processor_type", "feature_extractor_type"):
        if not said.fields.get(name, NOTHING).is_nothing:
            return said.fields[name].among(NAMED, ADVICE)
    if kind is None or kind not in OF_MODELS:
        raise said.refused("names no image_processor_type")
    return PROCESSORS[f"{OF_MODELS[kind]}ImageProcessor"]


def _colours(said: _Fields, processor: Processor, channels: int) -> Preprocessing:
    """Rescaling and normalising, as one mean and one deviation of pixels from 0 to 1; the sides are nominal."""
    if channels not in (1, 3):
        raise InputError(f"config.json: num_channels is {channels}; images here are RGB or grey")
    rescales, normalises = said.flag("do_rescale", default=True), said.flag("do_normalize", default=True)
    factor = said.fields.get("rescale_factor")
    scale = 255 * (1 if not rescales else 1 / 255 if factor is None else factor.real(-1e6, 1e6))
    if not scale:
        raise said.refused("says rescale_factor 0, which makes all images alike")
    top = processor.include_top and said.flag("include_top", default=True)
    offset = float(processor.include_top and rescales and said.flag("rescale_offset", default=False))
    normalises = normalises and processor.normalises
    mean = _by_channel(said, "image_mean", processor.mean, channels) if normalises else (0.0,) * channels
    plain = (1.0,) * channels
    std = _by_channel(said, "image_std", processor.std, channels) if normalises or top else plain
    return Preprocessing(
        (channels, NOMINAL_SIDE, NOMINAL_SIDE),
        tuple((centre + offset) / scale for centre in mean),
        tuple(
            a * b / scale for a, b in zip(std if normalises else plain, std if top else plain, strict=True)
        ),
        NOMINAL_SIDE,
        bgr=processor.blue_first and said.flag("do_flip_channel_order", default=True),
    )


def _placed(said: _Fields, processor: Processor, colours: Preprocessing) -> Preprocessing:
    """Mean and deviation with the resizing and the crop."""
    resize, crop = _resize_and_crop(said, processor)
    if crop is None:
        why = "do_resize is false" if resize is None else "a shorter side and no crop"
        raise said.refused(f"leaves images in sizes of their own ({why})")
    number = said.fields.get("resample")
    default = processor.resample if number is None else "bilinear"
    interpolation = RESAMPLE[number.whole(0, 5)] if number and not number.is_nothing else default
    if interpolation in PILLOW_ONLY and resize is not None:
        raise said.refused(f"says resample {interpolation}, with which its processor cannot resize")
    size = (colours.size[0], *crop)
    return replace(colours, size=size, resize=resize, interpolation=interpolation, convention="transformers")


def _resize_and_crop(said: _Fields, processor: Processor) -> tuple[Sides | None, tuple[int, int] | None]:
    """What every image is resized to, and its size after the crop; None where it keeps its own."""
    resize, inner = None, None
    if said.flag("do_resize", default=True):
        square = said.flag("default_to_square", default=processor.square)
        resize, inner = _resize(said, processor, _sides(said, "size", processor.size, square=square))
    crop = inner or (resize if isinstance(resize, tuple) else None)
    if processor.crops and said.flag("do_center_crop", default=processor.centre_crop):
        default = (processor.crop, processor.crop) if processor.crop else None
        crop = _sides(said, "crop_size", default, square=True)
        if not isinstance(crop, tuple) or (inner and inner != crop):
            raise said.refused("says do_center_crop, with a crop_size that cannot be cropped to")
    return resize, crop


def _resize(said: _Fields, processor: Processor, size: Sides) -> tuple[Sides, tuple[int, int] | None]:
    """What a processor makes of its size, and the crop that belongs to it."""
    fraction = said.fields.get("crop_pct")
    default = processor.crop_fraction if fraction is None else None
    kept = fraction.real(0.05, 20.0) if fraction and not fraction.is_nothing else default
    match processor.special, size:
        case "convnext", int():
            whole = size >= CONVNEXT_WHOLE
            return ((size, size), None) if whole else (_bounded(said, size / (kept or 1)), (size, size))
        case "convnext", _:
            raise said.refused("says a size without shortest_edge, which its processor cannot do")
        case "levit", int():
            return _bounded(said, 256 / 224 * size), None
        case "poolformer", (height, width) if height != width and kept:
            return (_bounded(said, height / kept), _bounded(said, width / kept)), None
        case "poolformer", _ if kept:
            return _bounded(said, (size if isinstance(size, int) else size[0]) / kept), None
    return size, None


def _bounded(said: _Fields, side: float) -> int:
    if not 1 <= side <= MOST_SIDE:
        raise said.refused(f"resizes to {side:g}, expected sides from 1 to {MOST_SIDE}")
    return int(side)


def _sides(said: _Fields, name: str, default: Sides | None, *, square: bool) -> Sides:
    """A size in any of the ways that it is written: a number, two of them, or by name."""
    stated = said.fields.get(name)
    if stated is None and default:
        return default
    if stated is None or stated.is_nothing:
        raise said.refused(f"says no {name}")
    sides = {part.label: entry for part, entry in stated.entries() if not entry.is_nothing}
    if sides:
        if set(sides) not in ({"height", "width"}, {"shortest_edge"}):
            raise stated.refused(f"expected height and width, or shortest_edge; {ADVICE}")
        lengths = tuple(sides[part].whole(1, MOST_SIDE) for part in sorted(sides))
        return lengths if len(lengths) == 2 else lengths[0]
    if stated.is_list:
        height, width = (*stated.parts(2), stated, stated)[:2]
        return height.whole(1, MOST_SIDE), width.whole(1, MOST_SIDE)
    side = stated.whole(1, MOST_SIDE)
    return (side, side) if square else side


def _by_channel(said: _Fields, name: str, default: tuple[float, ...], channels: int) -> tuple[float, ...]:
    stated = said.fields.get(name)
    parts = stated.parts(channels) if stated and stated.is_list else (stated,) if stated else ()
    values = tuple(part.real(-1e6, 1e6) for part in parts) if stated else default
    if len(values) not in (1, channels):
        raise said.refused(f"has {len(values)} numbers in {name}, for {channels} channels")
    return values * channels if len(values) == 1 else values
