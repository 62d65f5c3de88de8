"""What is done at random to a batch of images, each image drawn by itself, all in one go.

Decisions are drawn by torch's global generator of the CPU, wherever the images are.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Shaped
from torch import Tensor

from maxsup_analysis.training.plan import TrainingPlan

Images = Shaped[Tensor, "B C H W"]
Pixels = Float[Tensor, "B C H W"]
# Of torchvision's RandomResizedCrop: part of the area, and shape of the crop.
CROP_AREA, CROP_SHAPE = (0.08, 1.0), (3 / 4, 4 / 3)
# Of random erasing in its paper (Zhong et al. 2020) and in timm.
ERASED_AREA, ERASED_SHAPE, ATTEMPTS = (0.02, 1 / 3), (0.3, 1 / 0.3), 10


@dataclass(frozen=True)
class Geometry:
    """Which parts of images are seen. crop_padding, flip, resized_crop: as in a plan."""

    crop_padding: int = 0
    flip: bool = False
    resized_crop: bool = False

    def __call__(self, images: Images) -> Images:
        """The images, moved; bytes stay bytes unless they are resized, which makes values from 0 to 1 of them."""
        if self.resized_crop:
            images = resized_crops(images)
        if self.crop_padding:
            images = shifted(images, self.crop_padding)
        return flipped(images) if self.flip else images


def geometry_of(plan: TrainingPlan) -> Geometry:
    """That of a plan."""
    return Geometry(plan.crop_padding, plan.flip, plan.resized_crop)


def shifted(images: Images, padding: int) -> Images:
    """Each image moved by up to `padding` pixels along both axes, black where nothing is; a padded crop."""
    B, _, H, W = images.shape
    windows = F.pad(images, (padding,) * 4).unfold(2, H, 1).unfold(3, W, 1)
    top, left = torch.randint(2 * padding + 1, (2, B)).to(images.device)
    return windows[torch.arange(B, device=images.device), :, top, left]


def flipped(images: Images) -> Images:
    """Each image mirrored left to right with probability 1/2."""
    turned = (torch.rand(len(images)) < 0.5).to(images.device)
    return torch.where(turned[:, None, None, None], images.flip(3), images)


def resized_crops(images: Images) -> Pixels:
    """A random part of each image at the size of the whole, bilinear.

    Area and shape follow torchvision's RandomResizedCrop; a crop that would be wider or higher than the image is cut
    to it, where torchvision draws again.
    """
    B, _, H, W = images.shape
    values = images.float() / 255 if images.dtype == torch.uint8 else images
    area, shape = _uniform(B, *CROP_AREA) * H * W, _shapes(B, *CROP_SHAPE)
    height, width = ((area / shape).sqrt() / H).clamp(max=1), ((area * shape).sqrt() / W).clamp(max=1)
    # affine_grid's coordinates reach from -1 to 1: a crop of half the width leaves its centre 1/2 of room.
    across, down = (1 - width) * _uniform(B, -1.0, 1.0), (1 - height) * _uniform(B, -1.0, 1.0)
    nothing = torch.zeros(B)
    matrices = torch.stack([width, nothing, across, nothing, height, down], 1).view(B, 2, 3)
    grid = F.affine_grid(matrices.to(values), list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, padding_mode="border", align_corners=False)


def erased(images: Pixels, probability: float) -> Pixels:
    """A rectangle of each image replaced by Gaussian noise, with this probability; Zhong et al. 2020.

    Images are normalised already. Area and shape are drawn until the rectangle fits, ten times at most.
    """
    B, _, H, W = images.shape
    height, width = _rectangles(B, H, W)
    chosen = torch.rand(B) < probability
    top, left = ((torch.rand(B) * (whole - part + 1)).long() for whole, part in ((H, height), (W, width)))
    inside = _between(top, height, H)[:, :, None] & _between(left, width, W)[:, None, :]
    mask = (inside & chosen[:, None, None])[:, None].to(images.device)
    return torch.where(mask, torch.randn_like(images), images)


def _rectangles(B: int, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Heights and widths smaller than the image; 0 where none of the attempts was."""
    area, shape = _uniform((B, ATTEMPTS), *ERASED_AREA) * H * W, _shapes((B, ATTEMPTS), *ERASED_SHAPE)
    height, width = (area * shape).sqrt().round().long(), (area / shape).sqrt().round().long()
    fits = (height < H) & (width < W)
    first = fits.int().argmax(1, keepdim=True)
    any_fits = fits.any(1)
    return height.gather(1, first)[:, 0] * any_fits, width.gather(1, first)[:, 0] * any_fits


def _between(begin: Tensor, length: Tensor, whole: int) -> Tensor:
    """Row i: which of the positions from 0 are among `length` from `begin` on."""
    positions = torch.arange(whole)
    return (positions >= begin[:, None]) & (positions < (begin + length)[:, None])


def _uniform(shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape)


def _shapes(shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
    """Ratios of sides, as often below as above 1."""
    return _uniform(shape, math.log(low), math.log(high)).exp()
