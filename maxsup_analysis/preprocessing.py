"""What happens to an image before a model sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from maxsup_analysis.errors import InputError
from maxsup_analysis.geometry import TransformersGeometry, timm_steps

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from PIL.Image import Image
    from torch import Tensor

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
# timm's border fits the longer side and pads, its `keep ratio` covers both sides of what is not square.
CONVENTIONS = (
    "torchvision", "torchvision on tensors", "timm border", "timm keep ratio", "transformers",
)  # fmt: skip
# What a file may state: sides to which an image is resized, and pixels and numbers of one that the model sees. No
# published classifier takes more than 3 x 1024 x 1024. Larger ones would fill the memory, and are the user's to say.
MOST_SIDE, MOST_PIXELS, MOST_NUMBERS = 4096, 1 << 20, 1 << 22
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, scale to 0..1, normalise by channel.

    size: channels, height, width of what the model sees.
    resize: length of the shorter side before the crop, or height and width that every image is brought to;
        None leaves images as they are (they have the size).
    convention: whose arithmetic resizes and crops.
    bgr: the model sees blue first; mean and std are in the order that it sees.
    """

    size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"
    convention: str = "torchvision"
    bgr: bool = False

    def __post_init__(self) -> None:
        finite = all(map(isfinite, (*self.mean, *self.std)))
        sound = self.size[0] == len(self.mean) == len(self.std) and min(self.size) > 0 and 0 not in self.std
        if not sound or not finite:
            raise InputError(
                f"expected a mean and a deviation (not 0) for each of {self.size[0]} channels, got mean "
                f"{self.mean} and std {self.std}; give --mean and --std"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"expected an interpolation of {', '.join(INTERPOLATIONS)}, got {self.interpolation!r}"
            )
        if self.convention not in CONVENTIONS:
            raise InputError(f"expected a convention of {', '.join(CONVENTIONS)}, got {self.convention!r}")
        if self.resize is not None and min(self._resized_to) < 1:
            raise InputError(f"expected a length above 0 to resize to, got {self.resize}")

    def __str__(self) -> str:
        channels, height, width = self.size
        whole = " x ".join(map(str, self._resized_to))
        how = self.interpolation + ("" if self.convention == "torchvision" else f", as {self.convention}")
        resized = f"resize {whole} ({how}), crop {height} x {width}, " if self.resize else ""
        sized = resized or f"{channels} x {height} x {width} as they are, "
        order = ", blue first" if self.bgr else ""
        return f"{sized}mean {_numbers(self.mean)}, std {_numbers(self.std)}{order}"

    @property
    def shorter_side(self) -> int | None:
        """The length that the shorter side is resized to; None where the shape of an image does not matter."""
        return self.resize if isinstance(self.resize, int) else None

    @property
    def _resized_to(self) -> tuple[int, ...]:
        return self.resize if isinstance(self.resize, tuple) else (self.resize or 0,)

    def normalised(
        self, images: "Float[Tensor, 'B C H W'] | UInt8[Tensor, 'B C H W']"
    ) -> "Float[Tensor, 'B C H W']":
        """Values from 0 to 1, or bytes divided by 255, by channel (x - mean) / std, on the device of the images."""
        import torch

        mean, std = (
            torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (self.mean, self.std)
        )
        images = images.flip(1) if self.bgr else images
        if images.dtype != torch.uint8:
            return (images - mean).div_(std)
        # A tensor: CUDA multiplies by the reciprocal of a number, which rounds differently.
        most = torch.tensor(255.0, device=images.device)
        return images.to(torch.float32).div_(most).sub_(mean).div_(std)

    @property
    def geometry(self) -> "Callable[[Image], Tensor]":
        """From a PIL image to bytes of the size that a model sees, C H W: grey if need be, resize, centre crop."""
        from torchvision import transforms

        grey = self.size[0] == 1
        if self.convention == "transformers":
            return TransformersGeometry(self.resize, self.size[1:], self.interpolation, grey)
        colour, as_tensor = [transforms.Grayscale()] if grey else [], transforms.PILToTensor()
        if self.convention == "torchvision on tensors":
            return transforms.Compose([*colour, as_tensor, *self._steps])
        return transforms.Compose([*colour, *self._steps, as_tensor])

    @property
    def transform(self) -> "Callable[[Image], Tensor]":
        """From a PIL image to what the model sees: that of `geometry`, normalised."""
        geometry = self.geometry
        return lambda image: self.normalised(geometry(image).unsqueeze(0)).squeeze(0)

    @property
    def _steps(self) -> "list[Callable[[Image], Image]]":
        from torchvision import transforms

        mode = transforms.InterpolationMode(self.interpolation)
        size = self.size[1:]
        resize = self.resize if self.resize is not None else size
        if self.convention.startswith("timm") and isinstance(resize, tuple):
            return timm_steps(resize, size, self.interpolation, self._border)
        return [transforms.Resize(resize, mode), transforms.CenterCrop(size)]

    @property
    def _border(self) -> list[int] | None:
        """What surrounds an image that is brought to the size with a border; None where it is cropped."""
        return [round(255 * value) for value in self.mean] if self.convention == "timm border" else None

    def with_crop_fraction(self, fraction: float) -> "Preprocessing":
        """As timm says it: the crop keeps this fraction of the resized image."""
        if not 0 < fraction <= 1:
            raise InputError(f"expected a crop fraction above 0 and up to 1, got {fraction:g}")
        height, width = (int(side / fraction) for side in self.size[1:])
        if isinstance(self.resize, tuple):
            return replace(self, resize=(height, width))
        if height != width and self.convention == "torchvision":
            return replace(self, resize=(height, width), convention="timm keep ratio")
        return replace(self, resize=max(height, width))

    def to_plain(self) -> dict[str, object]:
        """As JSON; what every file did before there was a choice is left out."""
        return {
            "size": list(self.size),
            "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
            **({"convention": self.convention} if self.convention != "torchvision" else {}),
            **({"bgr": True} if self.bgr else {}),
        }


@dataclass(frozen=True)
class Overrides:
    """What the user says about preprocessing; None leaves it as it is found."""

    image_size: int | None = None
    resize: int | None = None
    crop_fraction: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None

    def applied(self, found: Preprocessing | None) -> Preprocessing | None:
        """Preprocessing with what the user says in place of what was found."""
        if found is None:
            if self.image_size is None:
                return None
            size = (len(self.mean or IMAGENET_MEAN), self.image_size, self.image_size)
            found = Preprocessing(size, self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD, self.image_size)
        given: dict[str, object] = {
            name: value
            for name, value in (
                ("resize", self.resize), ("mean", self.mean), ("std", self.std),
                ("interpolation", self.interpolation),
            )
            if value is not None
        }  # fmt: skip
        if self.image_size is not None:
            given["size"] = (len(self.mean or found.mean), self.image_size, self.image_size)
            scale = self.image_size / max(found.size[1:])
            given.setdefault("resize", _scaled(found.resize, scale) if found.resize else self.image_size)
        changed = replace(found, **given)  # type: ignore[arg-type]
        return changed if self.crop_fraction is None else changed.with_crop_fraction(self.crop_fraction)


def preprocessing_of(plain: Mapping[str, object]) -> Preprocessing:
    """The preprocessing that `to_plain` wrote; raises InputError where it is incomplete or too large."""
    try:
        size, mean, std = (tuple(plain[name]) for name in ("size", "mean", "std"))  # type: ignore[arg-type]
        resize = plain.get("resize")
        _require_sides([*size, *(resize if isinstance(resize, list) else [resize or 1])])
        return Preprocessing(
            size,
            mean,
            std,
            tuple(resize) if isinstance(resize, list) else resize if isinstance(resize, int) else None,  # type: ignore[arg-type]
            str(plain.get("interpolation", "bilinear")),
            str(plain.get("convention", "torchvision")),
            plain.get("bgr") is True,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as reason:
        raise InputError(f"preprocessing is described incompletely ({reason})") from None


def bounded(stated: Preprocessing) -> Preprocessing:
    """What a file states; InputError where its images are larger than a file may make them.

    Example:
        >>> bounded(Preprocessing((1, 4096, 4096), (0.5,), (0.5,)))
        Traceback (most recent call last):
        maxsup_analysis.errors.InputError: it has images of 1 x 4096 x 4096, over 1,048,576 pixels; give --image-size
    """
    channels, height, width = stated.size
    if height * width > MOST_PIXELS or channels * height * width > MOST_NUMBERS:
        raise InputError(
            f"it has images of {channels} x {height} x {width}, over {MOST_PIXELS:,} pixels; give --image-size"
        )
    if max(stated._resized_to) > MOST_SIDE:
        raise InputError(
            f"it resizes images to {max(stated._resized_to):,}, expected sides up to {MOST_SIDE:,}; give --image-size"
        )
    return stated


def _require_sides(sides: list[object]) -> None:
    for side in sides:
        if type(side) is not int or not 1 <= side <= MOST_SIDE:
            raise InputError(
                f"expected sides of images from 1 to {MOST_SIDE}, got {str(side)[:20]}; say it with "
                "--image-size"
            )


def _scaled(resize: int | tuple[int, int], scale: float) -> int | tuple[int, int]:
    if isinstance(resize, tuple):
        return round(resize[0] * scale), round(resize[1] * scale)
    return round(resize * scale)


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
