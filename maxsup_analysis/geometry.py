"""Resizing and cropping as the image processors of transformers do it, which is not as torchvision's transforms do.

They resize tensors of bytes where torchvision's transforms resize Pillow images, and round where the crop begins
downwards: the last bit of a value and a pixel's place differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class TransformersGeometry:
    """From an image to bytes of the size that a model sees, C H W.

    resize: length of the shorter side, or height and width; None resizes nothing.
    size: height and width of the crop; black surrounds what is smaller.
    """

    resize: int | tuple[int, int] | None
    size: tuple[int, int]
    interpolation: str
    grey: bool = False

    def __call__(self, image: "Image") -> "UInt8[Tensor, 'C H W']":
        """The bytes that the model's normalisation takes."""
        from torchvision.transforms.functional import pil_to_tensor

        # Rounding depends on how the bytes lie, and transformers lays them out by channel.
        pixels = pil_to_tensor(image.convert("L") if self.grey else image).contiguous()
        if self.resize is not None:
            pixels = _resized(pixels, self.resize, self.interpolation)
        return _centre(pixels, self.size)


def timm_steps(
    resize: tuple[int, int], size: tuple[int, int], interpolation: str, border: "list[int] | None"
) -> "list[Callable[[Any], Any]]":
    """Resizing of timm that keeps the ratio of sides: both are covered and cropped, or both fit and are padded.

    border: the colour around an image that fits; None crops.
    """
    from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio
    from torchvision.transforms import CenterCrop

    if border is None:
        return [ResizeKeepRatio(resize, interpolation=interpolation), CenterCrop(size)]
    fitted = ResizeKeepRatio(resize, interpolation=interpolation, longest=1.0)
    fill: Any = border if len(border) > 1 else border[0]
    return [fitted, CenterCropOrPad(list(size), fill=fill)]


def _resized(pixels: "Tensor", resize: int | tuple[int, int], interpolation: str) -> "Tensor":
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    # Pillow's `nearest` is torchvision's `nearest-exact`.
    mode = InterpolationMode("nearest-exact" if interpolation == "nearest" else interpolation)
    sides = [resize] if isinstance(resize, int) else list(resize)
    return functional.resize(pixels, sides, interpolation=mode, antialias=True)


def _centre(pixels: "Tensor", size: tuple[int, int]) -> "Tensor":
    """The middle of an image; of an odd number of black lines, the odd one goes after the image."""
    from torch.nn.functional import pad

    lacking = [max(wanted - had, 0) for wanted, had in zip(size, pixels.shape[-2:], strict=True)]
    above, left = (number // 2 for number in lacking)
    pixels = pad(pixels, (left, lacking[1] - left, above, lacking[0] - above))
    top, start = ((had - wanted) // 2 for wanted, had in zip(size, pixels.shape[-2:], strict=True))
    return pixels[..., top : top + size[0], start : start + size[1]]
