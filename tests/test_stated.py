"""Tests for what a file says: as text it is clean and bounded, and it means nothing but what is known here."""

import math
import os
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.stated import SHOWN_LENGTH, Stated, presentable, shown

ODD = ["a\nSHA-256: 0", "\x1b[2Ja", "\u202egp.exe", "a\ud800", "x" * 10_000, "\u2028", "\x00"]
VALUES = [
    *ODD,
    {odd: odd for odd in ODD},
    ODD,
    [[ODD]],
    10**5000,
    -(10**400),
    math.nan,
    b"bytes",
    None,
    object(),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_as_text_it_is_one_clean_line(value: object):
    said = Stated(value, "a\nb.pt", "place\x1b")
    for text in (
        str(said),
        repr(said),
        f"{said}",
        said.where,
        said.label,
        shown(value),
        str(said.refused("no")),
    ):
        assert text.isprintable() and len(text) <= 2 * SHOWN_LENGTH + 20


@pytest.mark.parametrize(
    "act",
    [
        lambda said: import_module(said),
        lambda said: os.open(said, os.O_RDONLY),
        lambda said: getattr(os, said),
        lambda said: Path(said),
        lambda said: os.path.join("folder", said),
        lambda said: int(said),
        lambda said: "".join([said]),
        lambda said: list(range(said)),
        lambda said: dict(**said),
    ],
)
def test_nothing_acts_on_it(act):
    with pytest.raises((TypeError, AttributeError)):
        act(Stated("os", "ce.pt"))


def test_it_chooses_among_what_is_known():
    entry = object()
    assert Stated("ce", "a.pt").among({"ce": entry}, "") is entry
    for other in ("CE", "os", 1, None, ["ce"], {"ce": 1}):
        with pytest.raises(InputError, match=r"^a.pt: loss is .*, which a file may not choose; type --loss$"):
            Stated(other, "a.pt", "loss").among({"ce": entry}, "type --loss")


@pytest.mark.parametrize("value", [True, 1.0, "1", -1, 11, 10**400, None, [1]])
def test_numbers_have_bounds_and_a_type(value: object):
    assert Stated(10, "a.pt").whole(0, 10) == 10
    with pytest.raises(InputError, match=r"expected a whole number from 0 to 10$"):
        Stated(value, "a.pt").whole(0, 10)


@pytest.mark.parametrize("value", [True, "1", -0.1, 1.1, 10**400, math.nan, math.inf, None])
def test_real_numbers_have_bounds_and_are_none_but_numbers(value: object):
    assert [Stated(one, "a.pt").real(0.0, 1.0) for one in (0, 0.5, 1)] == [0.0, 0.5, 1.0]
    with pytest.raises(InputError, match=r"expected a number from 0 to 1$"):
        Stated(value, "a.pt").real(0.0, 1.0)


def test_lists_have_a_length():
    assert [part.whole(0, 9) for part in Stated((1, 2), "a.pt").parts(2)] == [1, 2]
    for value in ((1, 2, 3), "12", {"0": 1}, None):
        with pytest.raises(InputError, match=r"expected a list of up to 2 parts$"):
            Stated(value, "a.pt").parts(2)


def test_what_the_user_would_type_is_one_word_of_the_shell_or_left_to_the_user():
    assert shlex.split(Stated("my model.py:f; rm *", "a.pt").typed("--model", "NAME")) == [
        "--model",
        "my model.py:f; rm *",
    ]
    for odd in [*ODD, "--flag", "", 3]:
        assert Stated(odd, "a.pt").typed("--model", "NAME") == "--model NAME"


def test_json_has_neither_nan_nor_control_characters():
    about = presentable({odd: [odd, math.nan, -math.inf, 10**5000, 1.5, True, None] for odd in ODD})
    assert isinstance(about, dict)
    for name, (text, nan, infinity, large, *rest) in about.items():
        assert name.isprintable() and str(text).isprintable()
        assert (nan, infinity, rest) == ("nan", "-inf", [1.5, True, None]) and "digits" in large
