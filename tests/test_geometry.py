"""Tests for resizing and cropping as transformers does: the bytes of its own image processors."""

import numpy as np
import pytest
import torch
from PIL import Image

from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Overrides, Preprocessing, preprocessing_of

transformers = pytest.importorskip("transformers")
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


def picture(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("mode", RESAMPLE)
@pytest.mark.parametrize("resize", [24, (27, 30), None])
@pytest.mark.parametrize("crop", [(24, 24), (21, 20), (41, 29)])
def test_bytes_are_those_of_the_processor(mode: str, resize, crop: tuple[int, int]):
    size = (
        {"height": resize[0], "width": resize[1]}
        if isinstance(resize, tuple)
        else {"shortest_edge": resize or 1}
    )
    processor = transformers.BitImageProcessor(
        size=size, resample=RESAMPLE[mode], do_center_crop=True, do_resize=resize is not None,
        crop_size={"height": crop[0], "width": crop[1]}, do_rescale=False, do_normalize=False,
    )  # fmt: skip
    how = Preprocessing((3, *crop), (0.0,) * 3, (1.0,) * 3, resize, mode, "transformers")
    for image in (picture(40, 57), picture(56, 41), picture(20, 31)):
        expected = torch.as_tensor(processor(image, return_tensors="pt")["pixel_values"][0])
        assert torch.equal(how.geometry(image), expected.to(torch.uint8))


def test_blue_first_is_red_last_with_mean_and_deviation_in_the_order_that_the_model_sees():
    how = Preprocessing((3, 4, 4), (0.1, 0.2, 0.3), (1.0, 2.0, 4.0), bgr=True)
    pixels = torch.rand(2, 3, 4, 4)
    red, green, blue = pixels.unbind(1)
    expected = torch.stack([blue - 0.1, (green - 0.2) / 2, (red - 0.3) / 4], 1)
    assert torch.allclose(how.normalised(pixels), expected)


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing((3, 4, 4), (0.0,) * 3, (1.0,) * 3, (6, 7), "bicubic", "transformers", bgr=True),
        Preprocessing((3, 4, 4), (0.0,) * 3, (1.0,) * 3, 6),
    ],
)
def test_what_is_written_is_read_back(how: Preprocessing):
    assert preprocessing_of(how.to_plain()) == how


def test_another_size_scales_both_sides():
    how = Preprocessing((3, 224, 224), (0.0,) * 3, (1.0,) * 3, (256, 320))
    changed = Overrides(image_size=112).applied(how)
    assert changed is not None
    assert (changed.size, changed.resize) == ((3, 112, 112), (128, 160))


@pytest.mark.parametrize("sides", [[3, 10**5, 10**5], [3, 224.0, 224], [3, True, 1], [3, 224, 0]])
def test_sides_that_a_file_states_are_bounded(sides: list):
    with pytest.raises(InputError, match="sides of images from 1 to 4096"):
        preprocessing_of({"size": sides, **PLAIN})


def test_a_mean_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="expected a mean and a deviation"):
        preprocessing_of({"size": [3, 8, 8], "mean": [0.0, float("nan"), 0.0], "std": [1.0] * 3})
