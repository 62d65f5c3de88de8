"""What a file can name to run something, where files name things, and a program that trusts them.

PAYLOADS: what a file says of its model, by name: a name and arguments. CARRIERS: the places where a file says so.
Run as `python -m tests.checkpoints.naming` with a JSON list of (carrier, path) on standard input, it builds what each
file names, in a fork: the proof that a payload is live.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint
from tests.checkpoints.trusting import ROOT

PREPROCESSING = {"size": [1, 8, 8], "mean": [0.5], "std": [0.5], "resize": None, "interpolation": "bilinear"}
CODE = "open({canary!r}, 'w').close()\ndef factory(*given, **words): ...\nval = resnet18 = factory\n"


@dataclass(frozen=True)
class Trap:
    """A folder with code, a pickle and a package, each of which touches the canary, and the canary."""

    folder: Path
    canary: Path

    @property
    def file(self) -> str:
        return str(self.folder / "trap_file.py")

    @property
    def pickle(self) -> str:
        return str(self.folder / "trap.pth")


def trap(folder: Path, canary: Path) -> Trap:
    """Set it up."""
    for name in ("trap_file.py", "trapmodule.py", "hubconf.py"):
        (folder / name).write_text(CODE.format(canary=str(canary)))
    statement = f"open({str(canary)!r}, 'w').close()"
    (folder / "trap.pth").write_bytes(b"cbuiltins\nexec\n(V" + statement.encode() + b"\ntR.")
    return Trap(folder, canary)


Named = tuple[str, dict[str, object]]
PAYLOADS: dict[str, Callable[[Trap], Named]] = {
    "os.system": lambda trap: ("os:system", {"command": f"touch {trap.canary}"}),
    "subprocess": lambda trap: ("subprocess:run", {"args": ["touch", str(trap.canary)]}),
    "check_output": lambda trap: ("subprocess:check_output", {"args": ["touch", str(trap.canary)]}),
    "timeit": lambda trap: ("timeit:timeit", {"stmt": f"open({str(trap.canary)!r}, 'w')", "number": 1}),
    "import_module": lambda trap: ("importlib:import_module", {"name": "trapmodule"}),
    "run_path": lambda trap: ("runpy:run_path", {"path_name": trap.file}),
    "run_module": lambda trap: ("runpy:run_module", {"mod_name": "trapmodule"}),
    "file": lambda trap: (f"{trap.file}:factory", {}),
    "file beside it": lambda trap: ("trap_file.py:factory", {}),
    "module beside it": lambda trap: ("trapmodule:factory", {}),
    "torch.load": lambda trap: ("torch:load", {"f": trap.pickle, "weights_only": False}),
    "torch.hub": lambda trap: ("torch.hub:load", {
        "repo_or_dir": str(trap.folder), "model": "resnet18", "source": "local",
    }),
    "create_model": lambda trap: ("timm:create_model", {"model_name": "resnet18", "checkpoint_path": trap.pickle}),
    "checkpoint_path": lambda trap: ("timm/resnet18", {"checkpoint_path": trap.pickle}),
    "pretrained file": lambda trap: ("timm/resnet18", {
        "pretrained": True, "pretrained_cfg_overlay": {"file": trap.pickle},
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Carrier:
    """Where a kind of file says what its model is. said: what it says there, to a program that believes it."""

    write: Callable[[Path, Named], Path]
    said: Callable[[dict], Named]


def weights() -> dict[str, torch.Tensor]:
    """Of a network that no library has."""
    torch.manual_seed(0)
    return small_cnn(1, 10).state_dict()


def own(folder: Path, named: Named, **facts: object) -> Path:
    """This package's format."""
    name, arguments = named
    about = {
        "architecture": {"name": name, "arguments": arguments}, "classes": [str(k) for k in range(10)],
        "preprocessing": PREPROCESSING, "data": "digits", "split": "test", "training": {"loss": "ce"}, **facts,
    }  # fmt: skip
    save_checkpoint(folder / "own.pt", weights(), about)
    return folder / "own.pt"


def own_data(folder: Path, named: Named) -> Path:
    """This package's format, honest but for its data."""
    return own(folder, ("small_cnn", {"channels": 1, "classes": 10}), data=named[0], split=named[0])


def saved(**places: object) -> Callable[[Path, Named], Path]:
    """A file of torch.save; NAME and WORDS in it stand for what it names."""

    def write(folder: Path, named: Named) -> Path:
        def filled(value: object) -> object:
            if isinstance(value, Namespace):
                return Namespace(**{key: filled(entry) for key, entry in vars(value).items()})
            if isinstance(value, dict):
                return {key: filled(entry) for key, entry in value.items()}
            return named[0] if value == "NAME" else named[1] if value == "WORDS" else value

        content = {key: filled(value) for key, value in places.items()}
        torch.save({"state_dict": weights(), **content}, folder / "other.pt")
        return folder / "other.pt"

    return write


def beside(file: str, **entries: object) -> Callable[[Path, Named], Path]:
    """Weights with a JSON file beside them."""

    def write(folder: Path, named: Named) -> Path:
        said = {key: named[0] if value == "NAME" else named[1] for key, value in entries.items()}
        (folder / file).write_text(json.dumps(said))
        torch.save(weights(), folder / "beside.pt")
        return folder / "beside.pt"

    return write


CARRIERS: dict[str, Carrier] = {
    "own": Carrier(own, lambda tree: tuple(tree["metadata"]["architecture"].values())),
    "own data": Carrier(own_data, lambda tree: (tree["metadata"]["data"], {})),
    "arch": Carrier(
        saved(arch="NAME", args=Namespace(model="NAME", model_kwargs="WORDS")),
        lambda tree: (tree["arch"], tree["args"].model_kwargs),
    ),
    "lightning": Carrier(
        saved(**{"pytorch-lightning_version": "2.6.0", "hyper_parameters": {"model": "NAME", "model_args": "WORDS"}}),
        lambda tree: (tree["hyper_parameters"]["model"], tree["hyper_parameters"]["model_args"]),
    ),
    "params.json": Carrier(
        beside("params.json", **{"model.arch": "NAME", "model.args": "WORDS"}),
        lambda tree: (tree["model.arch"], tree["model.args"]),
    ),
    "config.json": Carrier(
        beside("config.json", architecture="NAME", model_args="WORDS", pretrained_cfg="WORDS"),
        lambda tree: (tree["architecture"], tree["model_args"]),
    ),
}  # fmt: skip


def opening(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: the pickle that a file names is opened, which is as good as run; timm's own caution aside."""
    if event == "open" and str(arguments[0]).endswith("trap.pth"):
        Path(f"{arguments[0]}.opened").touch()


def believe(carrier: str, path: str) -> None:
    """Build what the file names."""
    file = Path(path)
    sys.addaudithook(opening)
    sys.path.insert(0, str(file.parent))
    os.chdir(file.parent)
    if carrier.endswith(".json"):
        tree = json.loads((file.parent / carrier).read_text())
    else:
        tree = torch.load(file, weights_only=False)
    name, words = CARRIERS[carrier].said(tree)
    if name.startswith("timm/"):
        import timm

        partial(timm.create_model, name.removeprefix("timm/"))(**words)  # pyright: ignore[reportArgumentType]
        return
    place, _, function = name.rpartition(":")
    if place.endswith(".py"):
        spec = spec_from_file_location("trusted", place)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = import_module(place)
    getattr(module, function)(**words)


def trust(files: Sequence[tuple[str, Path]]) -> None:
    """Believe files, in another process."""
    given = json.dumps([(carrier, str(path)) for carrier, path in files])
    command = [sys.executable, "-W", "ignore", "-m", "tests.checkpoints.naming"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=120,
        env=environment,
    )


if __name__ == "__main__":
    for carrier, path in json.load(sys.stdin):
        child = os.fork()
        if not child:
            try:
                believe(carrier, path)
            except BaseException as error:
                print(carrier, path, type(error).__name__, error, file=sys.stderr)
            os._exit(0)
        os.waitpid(child, 0)
