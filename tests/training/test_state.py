"""Tests for the file from which a training goes on: what goes in comes out, and nothing else is taken for it."""

import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maxsup_analysis.errors import InputError
from maxsup_analysis.training.state import read_state, remove_state, write_state

TREE = {
    "numbers": [1, 2.5, -0.1, 1e-300, math.inf, None, True],
    "words": {"0": "name", "ünï": "\n"},
    "by number": {0: {"step": torch.tensor(3.0)}, 17: []},
    "tensors": (
        torch.arange(6).view(2, 3).T,
        torch.zeros(0, 4),
        torch.tensor(7),
        torch.ones(2, dtype=torch.bfloat16),
    ),
    "empty": {},
}


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, list)
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def test_a_tree_comes_back(tmp_path: Path):
    write_state(tmp_path / "deep" / "x.state", TREE)
    assert same(TREE, read_state(tmp_path / "deep" / "x.state"))


def test_tensors_that_share_memory_are_told_apart(tmp_path: Path):
    whole = torch.arange(4.0)
    write_state(tmp_path / "x", {"whole": whole, "part": whole[1:3], "again": whole})
    found = read_state(tmp_path / "x")
    assert found["part"].tolist() == [1, 2] and torch.equal(found["again"], whole)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_state_is_refused(tmp_path: Path, kept: int):
    write_state(tmp_path / "x", TREE)
    whole = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(whole[:kept])
    with pytest.raises(
        InputError, match=r"expected a whole training state in .*x, got a damaged file .*delete it"
    ):
        read_state(tmp_path / "x")


def test_other_files_are_refused(tmp_path: Path):
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="expected a training state of this version"):
        read_state(tmp_path / "weights.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="damaged file"):
        read_state(tmp_path / "x.pt")


def test_a_full_disk_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_state(tmp_path / "x", {"step": 1, "weights": torch.zeros(1000)})

    def half(descriptor: int, part: memoryview) -> int:
        if len(part) < 1000:
            raise OSError(28, "No space left on device")
        return real(descriptor, part[:1000])

    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(InputError, match=r"cannot write to .*x \(No space left on device\); make room"):
            write_state(tmp_path / "x", {"step": 2, "weights": torch.zeros(1000)})
    assert read_state(tmp_path / "x")["step"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_removing_takes_what_killed_writers_left_and_nothing_else(tmp_path: Path):
    for name in ("x.state", "x.state.0a1b2c3d.tmp", "x.pt", "y.state.0a1b2c3d.tmp"):
        (tmp_path / name).touch()
    remove_state(tmp_path / "x.state")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt", "y.state.0a1b2c3d.tmp"]
    remove_state(tmp_path / "x.state")
