"""Opens files as a trusting program does, which runs what they hold: the proof that a fixture is live.

Run as `python -m tests.checkpoints.trusting` with a JSON list of (opener, path) on standard input; each runs in a fork.
"""

import contextlib
import glob
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
PICKLES_OF_A_ZIP = ("/data.pkl", "/constants.pkl", "/model.pkl")


class Victim(pickle.Unpickler):
    """A pickle loader in a program that has the classes of the file, whatever they are."""

    def persistent_load(self, pid: object) -> object:
        return pid

    def find_class(self, module_name: str, global_name: str) -> object:
        try:
            return super().find_class(module_name, global_name)
        except (ImportError, AttributeError):
            return type(global_name, (), {"__module__": module_name, "__init__": lambda self, *given: None})


def unpickle(file: IO[bytes]) -> None:
    Victim(file).load()


def unpickle_file(path: str) -> None:
    with open(path, "rb") as file:
        unpickle(file)


def torch_load_bytes(path: str) -> None:
    """The content counts, not the name."""
    torch_load(io.BytesIO(Path(path).read_bytes()))


def torch_load(file: IO[bytes] | str) -> None:
    import torch

    torch.load(file, weights_only=False)


def numpy_load(path: str) -> None:
    import numpy as np

    held = np.load(path, allow_pickle=True)
    if path.endswith(".npz"):
        held["names"]


def joblib_load(path: str) -> None:
    import joblib

    joblib.load(path)


def members_of_zip(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(PICKLES_OF_A_ZIP):
                with contextlib.suppress(Exception):
                    unpickle(io.BytesIO(archive.read(name)))


def blobs_of_zip(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if content.startswith(b"PK"):
                torch_load(io.BytesIO(content))


def member_of_tar(path: str) -> None:
    with tarfile.open(path) as archive:
        unpickle(io.BytesIO(archive.extractfile("pickle").read()))  # pyright: ignore[reportOptionalMemberAccess]


OPENERS: dict[str, Callable[[str], None]] = {
    "pickle": unpickle_file,
    "torch": torch_load,
    "torch, whatever the name": torch_load_bytes,
    "numpy": numpy_load,
    "joblib": joblib_load,
    "zip members": members_of_zip,
    "zip blobs": blobs_of_zip,
    "tar": member_of_tar,
    "hugging face": lambda path: torch_load(glob.glob(path + "/pytorch_model*.bin")[0]),
    "accelerate": lambda path: torch_load(path + "/random_states_0.pkl"),
    "dcp metadata": lambda path: unpickle_file(path + "/.metadata"),
    "dcp item": lambda path: torch_load(path + "/__0_0.distcp"),
}


def run(opener: str, path: str) -> None:
    """Open one file in a fork; it may well fail once it has been had."""
    child = os.fork()
    if not child:
        try:
            OPENERS[opener](path)
        except BaseException as error:
            print(opener, path, type(error).__name__, error, file=sys.stderr)
        os._exit(0)
    os.waitpid(child, 0)


def trust(opened: Sequence[tuple[str, Path]]) -> None:
    """Open files with trusting openers, in another process."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.checkpoints.trusting"]
    given = json.dumps([(opener, str(path)) for opener, path in opened])
    subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, check=True, timeout=120)


if __name__ == "__main__":
    import torch  # noqa: F401 - once, not in each fork

    for opener, path in json.load(sys.stdin):
        run(opener, path)
