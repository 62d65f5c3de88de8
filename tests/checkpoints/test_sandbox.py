"""Tests for the child that reads containers: what it may not do ends it, whoever made it do so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maxsup_analysis.containers import parse
from maxsup_analysis.errors import InputError
from tests.checkpoints.trusting import ROOT

# The child as it is, with a reader that has been had.
CHILD = """
import os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from maxsup_analysis.containers import sandbox
from maxsup_analysis.containers import Contents
sandbox.SECONDS = 1
def parse(path):
    {act}
    return Contents("opened", {{}})
sys.modules['maxsup_analysis.containers.parse'].parse = parse
sandbox.child(sys.argv[2])
"""


def child(act: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-c", CHILD.format(act=act), str(ROOT), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    "act",
    [
        "os.system('touch {canary}')",
        "subprocess.run(['touch', '{canary}'])",
        "os.fork()",
        "os.posix_spawn('/usr/bin/touch', ['touch', '{canary}'], {{}})",
        "open('{canary}', 'w')",
        "os.mkdir('{canary}')",
        "os.rename(path, '{canary}')",
        "os.symlink(path, '{canary}')",
        "socket.create_connection(('localhost', 9))",
        "import ctypes; ctypes.CDLL(None)",
    ],
)
def test_what_a_reader_has_no_use_for_ends_the_child(act: str, tmp_path: Path):
    file, canary = tmp_path / "model.pt", tmp_path / "canary"
    file.write_bytes(b"x")
    done = child(act.format(canary=canary), file)
    assert (done.returncode, done.stdout) == (99, "")
    assert file.exists() and not canary.exists()


def test_a_reader_that_does_none_of_it_answers(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"x")
    done = child("open(path, 'rb').read()", tmp_path / "model.pt")
    assert done.returncode == 0 and json.loads(done.stdout)["kind"] == "opened"


@pytest.mark.parametrize("act", ["bytearray(2 << 30)", "[0] * (1 << 28)", "'x' * (2 << 30)"])
def test_the_child_has_little_memory(act: str, tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"x")
    done = child(act, tmp_path / "model.pt")
    assert "more memory to read than its size explains" in json.loads(done.stdout)["refusal"]


def test_the_child_has_little_time(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"x")
    done = child("while True: pass", tmp_path / "model.pt")
    assert done.returncode < 0 and done.stdout == ""


def sharded(folder: Path) -> Path:
    """Weights in two shards, with their index."""
    folder.mkdir(parents=True)
    shards = {"a.safetensors": {"fc.weight": torch.zeros(2, 3)}, "b.safetensors": {"fc.bias": torch.zeros(2)}}
    for name, tensors in shards.items():
        save_file(tensors, folder / name)
    where = {key: name for name, tensors in shards.items() for key in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    """The file that it leads to is whole and is the right one: only its place is wrong."""
    folder = sharded(tmp_path / "model")
    assert set(parse(folder).tensors) == {"fc.weight", "fc.bias"}
    (folder / "b.safetensors").rename(tmp_path / "elsewhere")
    (folder / "b.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"names a file outside of the folder \('b.safetensors'\)"):
        parse(folder)


def test_one_file_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"fc.weight": torch.zeros(2, 3)}, tmp_path / "elsewhere")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="outside of the folder"):
        parse(folder)


def test_a_folder_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    """DeepSpeed's `latest` names a folder."""
    (tmp_path / "elsewhere").mkdir()
    torch.save(
        {"module": {"fc.weight": torch.zeros(2, 3)}}, tmp_path / "elsewhere" / "mp_rank_00_model_states.pt"
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "latest").write_text("step")
    (run / "step").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="outside of the folder"):
        parse(run)


def test_a_link_within_the_folder_is_opened(tmp_path: Path):
    folder = sharded(tmp_path / "model")
    (folder / "b.safetensors").rename(folder / "kept")
    (folder / "b.safetensors").symlink_to("kept")
    assert set(parse(folder).tensors) == {"fc.weight", "fc.bias"}


def test_a_snapshot_in_the_cache_of_hugging_face_is_opened(tmp_path: Path):
    """Its files are links to `blobs` beside all snapshots; a link to anywhere else is none of them."""
    folder = sharded(tmp_path / "models--a--b" / "snapshots" / "0123")
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    for place, file in enumerate(sorted(folder.iterdir())):
        file.rename(blobs / str(place))
        file.symlink_to(os.path.relpath(blobs / str(place), folder))
    assert set(parse(folder).tensors) == {"fc.weight", "fc.bias"}
    (blobs / "1").rename(tmp_path / "elsewhere")
    (folder / "b.safetensors").unlink()
    (folder / "b.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="outside of the folder"):
        parse(folder)
