"""Tests for classes by the innermost folders, against timm's own reader."""

from pathlib import Path

import pytest
from timm.data.readers.reader_image_folder import find_images_and_targets

from maxsup_analysis.class_order import Outputs, in_the_order_of
from maxsup_analysis.datasets import by_innermost_folders, open_data
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import class_folders

NESTED = {
    "b/x": 1, "a/y": 2, "a/z": 1, "c/x": 2,
}  # fmt: skip
FORMATS = ("timm train.py", "Hugging Face, timm")


@pytest.mark.parametrize("written_by", FORMATS)
@pytest.mark.parametrize("split", ["all", "all+fog:1"])
def test_a_checkpoint_of_timm_has_the_classes_of_timm(tmp_path: Path, written_by: str, split: str):
    root = class_folders(tmp_path / "data", NESTED)
    found, numbers = find_images_and_targets(str(root))
    data = in_the_order_of(open_data(str(root), split), Outputs(3, format=written_by))
    assert data.class_names == tuple(numbers)
    labels = {data.called(k): int(label) for k, label in enumerate(data.labels)}
    assert labels == {str(Path(file).relative_to(root)): label for file, label in found}


def test_where_only_the_outermost_fit_they_are_the_classes(tmp_path: Path):
    root = str(class_folders(tmp_path / "data", {"b/x": 1, "a/y": 1, "a/z": 1}))
    assert in_the_order_of(open_data(root, None), Outputs(2, format=FORMATS[0])).class_names == ("a", "b")
    assert in_the_order_of(open_data(root, None), Outputs(2)).class_names == ("a", "b")


def test_folders_that_are_not_nested_stay_what_they_are(tmp_path: Path):
    data = open_data(str(class_folders(tmp_path / "data", {"a": 1, "b": 1})), None)
    assert by_innermost_folders(data) is data


@pytest.mark.parametrize("twins", [("1", "01"), ("a", "A")])
def test_timm_has_no_order_for_names_that_it_does_not_tell_apart(tmp_path: Path, twins: tuple[str, str]):
    root = str(class_folders(tmp_path / "data", {**dict.fromkeys(twins, 1), "b": 1}))
    with pytest.raises(InputError, match=r"timm has no order for the classes .*--class-map FILE"):
        in_the_order_of(open_data(root, None), Outputs(3, format=FORMATS[0]))
    (tmp_path / "map.txt").write_text("\n".join([*twins, "b"]))
    outputs = Outputs(3, file=tmp_path / "map.txt", format=FORMATS[0])
    assert in_the_order_of(open_data(root, None), outputs).class_names == (*twins, "b")
