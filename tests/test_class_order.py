"""Tests for class orders: what the user says, what the checkpoint names, how its program sorts; else it is asked."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo

from maxsup_analysis.class_order import Outputs, in_the_order_of
from maxsup_analysis.datasets import ImageSamples, Samples
from maxsup_analysis.errors import InputError

NUMBERS = tuple(str(number) for number in range(20))


class Nothing:
    """So many images that nobody looks at."""

    def __init__(self, count: int) -> None:
        self.count = count

    def image(self, number: int) -> Image.Image:
        raise AssertionError

    def called(self, number: int) -> str:
        return f"{number}.png"

    def entries(self) -> Iterator[str]:
        return iter(["an image"] * self.count)

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        return iter(())


def data(names: Sequence[str], *, folders: bool = True) -> Samples:
    """One sample of each class; folders in the order of their names as text."""
    names = tuple(sorted(names)) if folders else tuple(names)
    return ImageSamples(
        "pets", "all", Nothing(len(names)), torch.arange(len(names)), names, sorted_classes=folders
    )  # type: ignore[arg-type]


def outputs_of(samples: Samples, outputs: Outputs) -> dict[str, int]:
    """The output of each class: sample k is of class k of the data as they came."""
    ordered = in_the_order_of(samples, outputs)
    return dict(zip(samples.class_names, ordered.labels.tolist(), strict=True))


def map_of(folder: Path, text: str) -> Path:
    (folder / "map.txt").write_text(text)
    return folder / "map.txt"


def test_a_map_of_folders_that_are_numbers_names_them(tmp_path: Path):
    """Each line is the folder of its output, also where folders are numbers."""
    turned = [str((7 * k) % 20) for k in range(20)]
    found = outputs_of(data(NUMBERS), Outputs(20, file=map_of(tmp_path, "\n".join(turned))))
    assert found == {name: k for k, name in enumerate(turned)}


def test_a_map_of_names_that_end_in_numbers_names_them(tmp_path: Path):
    names = [f"model {number}" for number in (3, 1, 2)]
    found = outputs_of(data(names), Outputs(3, file=map_of(tmp_path, "\n".join(names))))
    assert found == {name: k for k, name in enumerate(names)}


REFUSED_MAPS = {
    "one line too many": ("ant\nbee\ncat\n", "expected 2 lines in .*, one for each output, got 3"),
    "twice": ("ant\nbee\nant\n", "has the class 'ant' more than once"),
    "missing": ("ant\ncat\n", "does not say which output the class 'bee' is"),
    "an output that there is not": ("ant 0\nbee 2\n", "expected outputs below 2 in .*, got 2 for bee"),
    "a number of many digits": (
        "ant 0\nbee " + "9" * 5000 + "\n",
        "expected outputs below 2 in .*, got a number of 5000 digits",
    ),
    "one output for two": ("ant 1\nbee 1\n", "expected a different output from 0 to 1 for every class"),
    "two outputs for one": ("ant 0\nant 1\nbee 1\n", "gives the class 'ant' different outputs"),
    "numbers twice": ("0\n0\n", "expected 2 different numbers below 2"),
    "numbers beyond": ("0\n" + "9" * 400 + "\n", "does not say which output"),
    "nothing": ("\n", "got an empty file"),
}


@pytest.mark.parametrize("kind", REFUSED_MAPS)
def test_every_line_of_a_map_is_used_or_refused(tmp_path: Path, kind: str):
    text, message = REFUSED_MAPS[kind]
    with pytest.raises(InputError, match=message):
        in_the_order_of(data(("ant", "bee")), Outputs(2, file=map_of(tmp_path, text)))


def test_a_map_that_is_no_file_and_one_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for path, found in (
        (tmp_path, "something else"),
        (tmp_path / "gone", "nothing"),
        (Path("/dev/zero"), "something"),
    ):
        with pytest.raises(InputError, match=f"expected a text file at .*, got {found}"):
            in_the_order_of(data(("ant", "bee")), Outputs(2, file=path))
    monkeypatch.setattr("maxsup_analysis.datasets.classes.MOST_FILE_BYTES", 5)
    with pytest.raises(InputError, match="expected at most 5 bytes"):
        in_the_order_of(data(("ant", "bee")), Outputs(2, file=map_of(tmp_path, "ant\nbee\n")))


def test_lines_of_files_that_are_not_there_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture):
    text = "val/ant/1.png 1\nval/bee/1.png 0\nval/cow/1.png 2\nval/cow/2.png 2\n"
    found = outputs_of(data(("ant", "bee")), Outputs(3, file=map_of(tmp_path, text)))
    assert found == {"ant": 1, "bee": 0}
    assert "note: 2 lines of" in capsys.readouterr().err


@pytest.mark.parametrize("folders", [True, False])
def test_names_that_are_spelt_otherwise(folders: bool, capsys: pytest.CaptureFixture):
    names = ("maine_coon", "Scottish Terrier", "british-shorthair")
    mine = ("British Shorthair", "Maine Coon", "scottish_terrier")
    found = outputs_of(data(mine, folders=folders), Outputs(3, names))
    assert found == {"British Shorthair": 2, "Maine Coon": 0, "scottish_terrier": 1}
    assert "note: 3 classes of pets are spelt otherwise in the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mine", "names"),
    [
        (("ant", "bee"), ("ant", "wasp")),
        (("Ant", "ant"), ("ant", "bee")),
        (("ant", "bee"), ("ANT", "Ant", "bee")),
    ],
)
def test_names_that_do_not_match_are_listed(mine: Sequence[str], names: Sequence[str]):
    with pytest.raises(
        InputError, match=r"1 classes of pets are not among those of the checkpoint: .*--class-map FILE"
    ):
        in_the_order_of(data(mine), Outputs(len(names), names))


def test_numbered_classes_that_the_checkpoint_names_elsewhere_are_refused():
    with pytest.raises(InputError, match="the checkpoint does not say which output the class 'eel' is"):
        in_the_order_of(data(("ant", "bee", "eel"), folders=False), Outputs(3, ("bee", "ant", "cat")))
    # Those that agree in place are what the checkpoint calls otherwise.
    found = in_the_order_of(data(("ant", "plane"), folders=False), Outputs(2, ("ant", "airplane")))
    assert found.labels.tolist() == [0, 1] and found.class_names == ("ant", "airplane")


@pytest.mark.parametrize("K", [3, 5])
def test_numbers_are_outputs_also_where_the_last_have_no_samples(K: int):
    found = in_the_order_of(data(("0", "1", "2"), folders=False), Outputs(K, tuple("abcde"[:K])))
    assert found.class_names == tuple("abcde"[:K]) and found.labels.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="the checkpoint has 2 classes but pets has 3"):
        in_the_order_of(data(("0", "1", "2"), folders=False), Outputs(2))


def test_a_checkpoint_whose_names_are_numbers():
    assert outputs_of(data(NUMBERS), Outputs(20, NUMBERS)) == {name: int(name) for name in NUMBERS}
    assert outputs_of(data(("ant", "bee")), Outputs(2, ("0", "1"))) == {"ant": 0, "bee": 1}


THOUSAND = tuple(str(number) for number in range(1000))
LEMMAS = tuple(ImageNetInfo("imagenet-1k").index_to_description(k) for k in range(1000))


@pytest.mark.parametrize("names", [None, LEMMAS, THOUSAND])
@pytest.mark.parametrize("written_by", [None, "timm train.py", "torchvision references"])
def test_the_folders_of_imagenet_v2_are_numbers(names: Sequence[str] | None, written_by: str | None):
    found = outputs_of(data(THOUSAND), Outputs(1000, names, format=written_by))
    assert found == {name: int(name) for name in THOUSAND}


@pytest.mark.parametrize("names", [None, LEMMAS])
def test_folders_that_are_synsets_have_the_order_of_imagenet(names: Sequence[str] | None):
    synsets = ImageNetInfo("imagenet-1k").label_names()
    some = [synsets[k] for k in (3, 999, 12)]
    assert outputs_of(data(some), Outputs(1000, names)) == dict(zip(some, (3, 999, 12), strict=True))
    if names is not None:
        with pytest.raises(InputError, match="are not among those of the checkpoint"):
            in_the_order_of(data(some), Outputs(1000, names[::-1]))


@pytest.mark.parametrize(
    ("written_by", "sorting", "order"),
    [
        ("timm train.py", None, ["1", "2", "10", "Ant", "bee", "Cow"]),
        ("Hugging Face, timm", None, ["1", "2", "10", "Ant", "bee", "Cow"]),
        ("torchvision references", None, ["1", "10", "2", "Ant", "Cow", "bee"]),
        ("state dict", "natural", ["1", "2", "10", "Ant", "bee", "Cow"]),
        ("timm train.py", "text", ["1", "10", "2", "Ant", "Cow", "bee"]),
    ],
)
def test_how_the_program_sorts_folders(written_by: str, sorting: str | None, order: list[str]):
    found = outputs_of(data(order), Outputs(6, sorting=sorting, format=written_by))
    assert found == {name: k for k, name in enumerate(order)}


def test_where_nothing_decides_it_is_asked_word_for_word():
    with pytest.raises(InputError) as refusal:
        in_the_order_of(data(("9", "10", "11")), Outputs(3, format="state dict"))
    assert str(refusal.value) == (
        "the classes of pets have two orders: 10, 11, 9 (as text, as torchvision's ImageFolder) or 9, 10, 11 (numbers "
        "as numbers, ignoring case, as timm), and the checkpoint does not say which its outputs have; say "
        "--class-order text or --class-order natural"
    )
    assert outputs_of(data(("ant", "bee")), Outputs(2, format="state dict")) == {"ant": 0, "bee": 1}


def test_an_order_that_there_is_not():
    with pytest.raises(InputError, match="expected --class-order text or natural, got 'random'"):
        Outputs(2, sorting="random")
    with pytest.raises(InputError, match="expected --class-map or --class-order, got both"):
        Outputs(2, file=Path("map.txt"), sorting="text")


def test_labels_follow_their_names():
    """Whatever the order, the name of the output of a sample is the name of its class."""
    rng = np.random.default_rng(0)
    names = tuple(str(name) for name in rng.permutation(20))
    samples = data(NUMBERS)
    ordered = in_the_order_of(samples, Outputs(20, names))
    # Numbers of the checkpoint in an order of their own are names like any others.
    assert [ordered.class_names[label] for label in ordered.labels] == list(samples.class_names)
    assert ordered.class_names == names
