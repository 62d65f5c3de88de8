"""Tests for what docs/data.md says of corruptions and derived data."""

import re
from pathlib import Path

import pytest

from maxsup_analysis.datasets import CORRUPTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
# The authors wrote lengths of elastic_transform as shares of 244 pixels, for images of 224.
WRITTEN_FOR = {"elastic_transform": 224 / 244}


def written(strengths: tuple[tuple[float | int, ...], ...], scale: float = 1) -> str:
    return "; ".join(", ".join(f"{value * scale:g}" for value in one) for one in strengths)


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_strengths_are_those_of_the_table(kind: str):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {kind} | ") and line.count("|") == 5)
    small, large = (cell.strip().removesuffix(" (of 244)") for cell in row.split("|")[3:5])
    one = CORRUPTIONS[kind]
    assert small == written(one.small) and large == written(one.large, WRITTEN_FOR.get(kind, 1))


def test_kinds_that_deviate_say_so():
    deviating = PAGE.partition("Where they differ from the authors' scripts")[2]
    assert all(kind in deviating for kind, one in CORRUPTIONS.items() if one.deviation)


def test_the_example_runs():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    tail = names["tail"]
    assert 0.2 < names["wrong"].double().mean() < 0.6
    assert sorted(tail.labels.bincount().tolist(), reverse=True) == tail.labels.bincount().tolist()
