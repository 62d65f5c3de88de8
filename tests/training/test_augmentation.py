"""Tests for augmentation on tensors: every output pixel is one of the input, where it should be; laws of the draws."""

import numpy as np
import pytest
import torch

from maxsup_analysis.training.augmentation import Geometry, erased, flipped, resized_crops, shifted


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def numbered(B: int, C: int, H: int, W: int) -> torch.Tensor:
    """Every pixel another number, none of them 0."""
    return torch.arange(1.0, B * C * H * W + 1).view(B, C, H, W)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """By hand: what leaves the frame is gone, what enters is 0."""
    _, H, W = image.shape
    result = np.zeros_like(image)
    for y in range(H):
        for x in range(W):
            if 0 <= y - down < H and 0 <= x - right < W:
                result[:, y, x] = image[:, y - down, x - right]
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_shifts_are_shifts_and_all_of_them_occur(dtype: torch.dtype):
    images = (numbered(1, 2, 4, 5) % 251).to(dtype).expand(400, 2, 4, 5)
    found = {tuple(one.flatten().tolist()) for one in shifted(images, 1)}
    first = images[0].numpy()
    expected = {
        tuple(moved(first, down, right).flatten().tolist()) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }
    assert found == expected and shifted(images, 1).dtype == dtype


def test_each_image_is_moved_by_itself():
    images = numbered(8, 1, 6, 6)
    for image, result in zip(images.numpy(), shifted(images, 2).numpy(), strict=True):
        assert any(
            np.array_equal(result, moved(image, down, right))
            for down in range(-2, 3)
            for right in range(-2, 3)
        )


def test_half_of_the_images_are_mirrored():
    images = numbered(1000, 1, 1, 3)
    results = flipped(images)
    mirrored = (results == images.flip(3)).all(3).flatten()
    assert torch.equal(results[~mirrored], images[~mirrored])
    assert 440 < mirrored.sum() < 560  # Binomial(1000, 1/2) leaves 440 to 560 once in 7,000.


def test_erasing_touches_one_rectangle_of_the_right_size():
    images = torch.full((600, 3, 20, 24), 100.0)
    changed = (erased(images, 0.25) != images).any(1).numpy()
    touched = [mask for mask in changed if mask.any()]
    assert 105 < len(touched) < 195  # Binomial(600, 1/4), 4 deviations.
    for mask in touched:
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == height * width and height < 20 and width < 24
        # Rounding each side to whole pixels moves area and shape a little.
        assert 0.01 < mask.mean() < 0.38 and 0.2 < height / width < 5


def test_erased_pixels_are_standard_noise():
    images = torch.full((500, 1, 16, 16), 100.0)
    noise = erased(images, 1.0)
    noise = noise[noise != 100]
    assert abs(float(noise.mean())) < 0.05 and float(noise.std()) == pytest.approx(1, abs=0.05)


def test_nothing_is_erased_from_an_image_of_one_pixel():
    assert torch.equal(erased(torch.ones(5, 3, 1, 1), 1.0), torch.ones(5, 3, 1, 1))


def test_a_crop_of_a_ramp_is_a_ramp_within_its_bounds():
    """Bilinear interpolation of a line is the line: slope and offset are those of a crop of 8 to 100 % of the area."""
    H = W = 32
    ramp = torch.stack([torch.arange(W).float().expand(H, W), torch.arange(H).float()[:, None].expand(H, W)])
    results = resized_crops(ramp.expand(300, 2, H, W))
    inner = results[:, :, 4:-4, 4:-4]
    across, down = inner[:, 0].diff(dim=2), inner[:, 1].diff(dim=1)
    assert torch.allclose(across, across[:, :1, :1].expand_as(across), atol=1e-3)
    assert torch.allclose(down, down[:, :1, :1].expand_as(down), atol=1e-3)
    width, height = across[:, 0, 0], down[:, 0, 0]  # As parts of the whole.
    area, shape = width * height, width / height
    assert (
        float(area.min()) > 0.06
        and float(area.max()) <= 1 + 1e-4
        and float(area.mean()) == pytest.approx(0.54, abs=0.06)
    )
    assert float(shape.min()) > 0.74 and float(shape.max()) < 1.35
    assert float(results.min()) >= 0 and float(results.max()) <= 31


def test_bytes_become_values_from_0_to_1_where_they_are_resized_and_stay_bytes_otherwise():
    images = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8)
    assert torch.allclose(Geometry(resized_crop=True)(images), torch.ones(4, 1, 8, 8))
    assert Geometry(crop_padding=1, flip=True)(images).dtype == torch.uint8
    assert Geometry()(images) is images
