"""What else a stranger hands over: folders in pieces, stores, features, data, class maps, states of trainings, studies.

As in `stated_attacks.py` each entry writes into an empty folder beside traps,
and gives a name; what commands meet it is in
`watching.py`.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from tests.checkpoints.naming import weights
from tests.checkpoints.stated_attacks import LONG, NAMES, Write
from tests.feature_store.harm import resealed
from tests.feature_store.stores import rows_of, store_at

# Names of files that are elsewhere, or are none.
PLACES = (
    "../trap.pth", "{here}/trap.pth", "trap.pth", "sub/../../trap.pth", "/dev/zero", "link", "", ".", "..", "a\0b",
    "~/x",
    "file:///trap.pth", "\x1b[2J\n", "x" * 5000, "hub", "nul",
)  # fmt: skip


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def canary(folder: Path) -> Path:
    return folder / "PWNED"


def index(name: str, place: str) -> Write:
    """Shards whose index names a file."""

    def write(folder: Path) -> str:
        hub = folder / "hub"
        hub.mkdir()
        tensors = weights()
        safetensors.torch.save_file(tensors, hub / "a.safetensors")
        (hub / "link").symlink_to(folder / "trap.pth")
        weight_map = {
            **dict.fromkeys(tensors, "a.safetensors"),
            next(iter(tensors)): place.format(here=folder),
        }
        (hub / name).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return "hub"

    return write


def linked(name: str) -> Write:
    """A folder in which a file is a link to elsewhere."""

    def write(folder: Path) -> str:
        (folder / "hub").mkdir()
        torch.save(weights(), folder / "hub" / "pytorch_model.bin")
        (folder / "hub" / name).unlink(missing_ok=True)
        (folder / "hub" / name).symlink_to(folder / "trap.pth")
        return "hub"

    return write


def distributed(change: Callable[[bytes], bytes]) -> Write:
    """A torch.distributed folder whose .metadata was changed."""

    def write(folder: Path) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(weights(), checkpoint_id=folder / "hub", no_dist=True)
        path = folder / "hub" / ".metadata"
        path.write_bytes(change(path.read_bytes()))
        return "hub"

    return write


def deepspeed(step: str) -> Write:
    def write(folder: Path) -> str:
        (folder / "hub").mkdir()
        (folder / "mp_rank_00_model_states.pt").write_bytes((folder / "trap.pth").read_bytes())
        (folder / "hub" / "latest").write_text(step.format(here=folder))
        return "hub"

    return write


def pieces() -> dict[str, Write]:
    names = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
    beside = (
        "pytorch_model.bin",
        "config.json",
        "params.json",
        "preprocessor_config.json",
        "latest",
        ".metadata",
    )
    same_length = (b"../trap.pth\0", b"/etc/passwd\0", b"trap.pth\0\0\0\0")
    return {
        **{f"index {name} {place[:20]!r}": index(name, place) for name in names for place in PLACES},
        **{f"link {name}": linked(name) for name in (*beside, *names)},
        **{f"deepspeed {step[:20]!r}": deepspeed(step) for step in ("..", "{here}", "../hub", "", "/", "\x1b[2J")},
        **{f"distributed {name!r}": distributed(lambda raw, name=name: raw.replace(b"__0_0.distcp", name))
           for name in same_length},
        "distributed code": distributed(lambda raw: b"cposix\nsystem\n(S'touch PWNED'\ntR."),
        "distributed planner": distributed(lambda raw: raw.replace(b"_StorageInfo", b"_StorageTrap")),
    }  # fmt: skip


def safetensors_file(**about: str) -> Write:
    def write(folder: Path) -> str:
        safetensors.torch.save_file(weights(), folder / "x.safetensors", about)
        return "x.safetensors"

    return write


def header(entries: object) -> Write:
    def write(folder: Path) -> str:
        said = json.dumps(entries).encode()
        (folder / "x.safetensors").write_bytes(len(said).to_bytes(8, "little") + said + bytes(64))
        return "x.safetensors"

    return write


def npz(**arrays: Any) -> Write:
    def write(folder: Path) -> str:
        made = {name: array(folder) if callable(array) else array for name, array in arrays.items()}
        np.savez(folder / "x.npz", **made)  # pyright: ignore[reportArgumentType]
        return "x.npz"

    return write


def objects(folder: Path) -> np.ndarray:
    return np.array([Payload(canary(folder))], dtype=object)


def single_files() -> dict[str, Write]:
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return {
        **{f"safetensors says {n}": safetensors_file(format="pt", architecture=text, auto_map=text, config=text)
           for n, text in enumerate(NAMES) if text.isprintable()},
        **{f"safetensors called {n}": header({text or "x": tensor}) for n, text in enumerate((*NAMES, *PLACES))},
        "safetensors shape": header({"a": {**tensor, "shape": [10**9, 10**9]}}),
        "safetensors metadata": header({"__metadata__": {"a": ["os.system"]}, "a": tensor}),
        "npz objects": npz(names=objects, weight=np.zeros((10, 4))), "npz object": npz(arr_0=objects),
    }  # fmt: skip


FEATURES, LABELS = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3


def pickled_features(folder: Path) -> str:
    rows = {"features": torch.zeros(60, 4), "labels": torch.arange(60) % 3, "names": Payload(canary(folder))}
    torch.save(rows, folder / "x.pt")
    return "x.pt"


def feature_folder(folder: Path) -> str:
    (folder / "x").mkdir()
    (folder / "x" / "features.npy").symlink_to(folder / "trap.pth")
    np.save(folder / "x" / "labels.npy", LABELS)
    return "x"


def features() -> dict[str, Write]:
    names = (
        ["../../trap", "\x1b[2J\n", "=cmd|' /C calc'!A0"],
        ["\u202e", "a", "b"],
        [LONG, "a", "b"],
        [[1], [2], [3]],
    )
    rows = {"features": FEATURES, "labels": LABELS}
    return {
        "objects": npz(features=FEATURES, labels=LABELS, class_names=objects), "object labels": npz(features=FEATURES,
        labels=objects),
        "object features": npz(features=objects, labels=LABELS), "pickle": pickled_features, "a link": feature_folder,
        **{f"names {n}": npz(**rows, class_names=np.array(some)) for n, some in enumerate(names)},
        "ids": npz(**rows, ids=np.array(["../trap"] * 60)), "checkpoint": npz(**rows, checkpoint=np.array("trap.pth")),
        "classes": npz(features=FEATURES, labels=LABELS * 10**9),
    }  # fmt: skip


def store(change: Callable[[dict], object]) -> Write:
    """A store whose manifest says something else, under a seal that is right for it."""

    def write(folder: Path) -> str:
        made = store_at(folder / "x.features", rows_of(60)).path
        resealed(made, change)
        return made.name

    return write


def stores() -> dict[str, Write]:
    found: dict[str, Callable[[dict], object]] = {}
    for n, text in enumerate((*NAMES, *PLACES)):
        found[f"checkpoint {n}"] = lambda said, text=text: said["provenance"].update(
            checkpoint={"name": text, "path": text}
        )
        found[f"model {n}"] = lambda said, text=text: said["provenance"].update(
            architecture=text, data=text, layer=text, preprocessing={"_target_": text}
        )
        found[f"shard {n}"] = lambda said, text=text: said["shards"][0].update(name=text, file=text)
        found[f"class {n}"] = lambda said, text=text: said.update(classes=[text, "b", "c"])
    found["training"] = lambda said: said["provenance"].update(
        training={"loss": {"_target_": "os.system"}, "alpha": "x"}
    )
    found["head"] = lambda said: said.update(head={"file": "../trap.pth"})
    return {name: store(change) for name, change in found.items()}
