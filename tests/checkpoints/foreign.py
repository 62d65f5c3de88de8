"""Honest checkpoints that carry objects of packages the reader does not have.

FOREIGN maps a name to a builder: given a folder, it returns a checkpoint whose "state_dict" is EXPECTED and whose
other entries hold foreign objects; REPORTED says which classes a reader has to name. The modules of
SOURCES exist only while the file is written, so nothing can import them later.
"""

import argparse
import collections
import datetime
import decimal
import fractions
import functools
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.checkpoints.layout import standing_in


@cache
def _network() -> nn.Module:
    """A seeded layer with batch norm that has seen one batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        network(torch.randn(8, 3))
    return network


EXPECTED: dict[str, torch.Tensor] = {name: value.clone() for name, value in _network().state_dict().items()}

SOURCES = {
    "yacs.config": "class CfgNode(dict):\n  def __init__(self, held=()):\n    super().__init__(held)\n"
    "    self.__dict__['__immutable__'] = False\n",
    "omegaconf.dictconfig": "class DictConfig:\n  pass\n",
    "omegaconf.nodes": "class AnyNode:\n  pass\n",
    "omegaconf.base": "class Metadata:\n  pass\n",
    "__main__": "class Params:\n  def __init__(self, **held):\n    self.__dict__.update(held)\n",
    "vanished_callbacks": "class ModelCheckpoint:\n  def __init__(self, **held):\n    self.__dict__.update(held)\n",
    "vanished_enums": "import enum\nclass Mode(enum.Enum):\n  TRAIN = 'train'\n  TEST = 'test'\n"
    "class Level(enum.IntEnum):\n  LOW = 1\nclass Flags(enum.Flag):\n  A = 1\n  B = 2\n",
    "vanished_slots": "class Slotted:\n  __slots__ = ('rate', 'steps')\n  def __init__(self):\n"
    "    self.rate, self.steps = 0.1, 7\n"
    "class Stateful:\n  def __getstate__(self):\n    return ('state', 3)\n"
    "  def __setstate__(self, state):\n    raise RuntimeError('must not run')\n",
    "vanished_data": "from dataclasses import dataclass\n@dataclass\nclass Recipe:\n  lr: float = 0.1\n"
    "  epochs: int = 90\n"
    "@dataclass(frozen=True)\nclass Frozen:\n  name: str = 'resnet'\n",
    "vanished_tuples": "from collections import namedtuple\nPoint = namedtuple('Point', 'x y')\n",
    "easydict": "class EasyDict(dict):\n  pass\n",
    "vanished_losses": "import torch\nclass MaxSup(torch.nn.Module):\n  def __init__(self):\n    super().__init__()\n"
    "    self.scale = torch.nn.Parameter(torch.ones(1))\n",
    "vanished_functions": "def warm_up(step):\n  return step / 5\nclass Schedule:\n  def step(self):\n    pass\n",
    "vanished_containers": "class Names(list):\n  pass\nclass Table(dict):\n  pass\nclass Kinds(set):\n  pass\n"
    "class Note(str):\n  pass\nclass Count(int):\n  pass\nclass Nested:\n  class Inner:\n    pass\n",
    "vanished_reduce": "def rebuild(*held):\n  raise RuntimeError('must not run')\n"
    "class Made:\n  def __reduce__(self):\n    return rebuild, (1, 'two'), {'a': 3}, iter([4, 5]), iter([('k', 6)])\n"
    "class Keyworded:\n  def __getnewargs_ex__(self):\n    return (1,), {'two': 2}\n",
    "vanished_metrics": "import torch\nclass MeanMetric:\n  def __init__(self):\n    self.total = torch.zeros(2)\n",
    "vanished_tensors": "import torch\nclass Named(torch.Tensor):\n  pass\n",
}


@contextmanager
def vanishing(module: str) -> Iterator[types.ModuleType]:
    """A module that is importable within the block and gone after it, its packages too."""
    parts = module.split(".")
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    made = {name: types.ModuleType(name) for name in names}
    exec(SOURCES[module], made[module].__dict__)
    with standing_in(made):
        yield made[module]


def _write(folder: Path, extras: dict[str, object], name: str = "model.ckpt") -> Path:
    path = folder / name
    torch.save({"epoch": 3, "state_dict": EXPECTED, **extras}, path)
    return path


@dataclass(frozen=True)
class Fixture:
    """What a checkpoint carries beside the weights.

    extras: from the module (vanished, if one is named) to the other entries; reported: the classes to be named.
    """

    extras: Callable[[types.ModuleType], dict[str, object]]
    reported: tuple[str, ...] = ()
    module: str | None = None

    def write(self, folder: Path) -> Path:
        if self.module is None:
            return _write(folder, self.extras(types))
        with vanishing(self.module) as module:
            return _write(folder, self.extras(module))


def _omegaconf(folder: Path) -> Path:
    with (
        vanishing("omegaconf.dictconfig") as config,
        vanishing("omegaconf.nodes") as nodes,
        vanishing("omegaconf.base") as base,
    ):
        facts, node, whole = base.Metadata(), nodes.AnyNode(), config.DictConfig()
        facts.__dict__.update({"ref_type": dict, "object_type": dict, "optional": True, "key": None})
        node.__dict__.update({"_parent": whole, "_val": 0.1, "_metadata": facts})
        whole.__dict__.update({"_content": {"lr": node}, "_parent": None, "_metadata": facts})
        return _write(folder, {"hyper_parameters": whole})


def _optimizer() -> torch.optim.SGD:
    """A whole optimizer over weights of its own."""
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)


def _yacs(m: types.ModuleType) -> dict[str, object]:
    return {"config": m.CfgNode({"MODEL": m.CfgNode({"NAME": "swin", "DEPTHS": [2, 2]}), "AMP": True})}


def _callback(m: types.ModuleType) -> dict[str, object]:
    monitor = m.ModelCheckpoint(
        dirpath=pathlib.PurePosixPath("runs"), best_model_score=torch.tensor(0.7), top=3
    )
    return {
        "callbacks": {
            "ModelCheckpoint{'monitor': 'val_acc'}": {"best_model_score": torch.tensor(0.7)},
            "whole": monitor,
        }
    }


def _plain_torch(m: types.ModuleType) -> dict[str, object]:
    return {
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "layout": torch.strided,
        "generator": torch.Generator().manual_seed(0).get_state(),
    }


def _numpy_arrays(m: types.ModuleType) -> dict[str, object]:
    rows = np.array([(1, 0.5, b"ab")], dtype=[("index", "<i8"), ("value", "<f8"), ("name", "S2")])
    return {
        "rows": rows,
        "mean": np.zeros(3, "<f4"),
        "names": np.array(["a", "bc"]),
        "f": np.asfortranarray(np.eye(2)),
    }


def _numpy_scalars(m: types.ModuleType) -> dict[str, object]:
    values = (
        np.float64(0.5),
        np.int64(3),
        np.bool_(True),
        np.float16(1),
        np.str_("top"),
        np.datetime64("2024-05-01"),
    )
    return {"best": list(values), "by": {np.int64(3): np.float32(0.1)}}


def _times(m: types.ModuleType) -> dict[str, object]:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    return {"saved": datetime.datetime(2024, 5, 1, 12, tzinfo=zone), "day": datetime.date(2024, 5, 1)}


def _collections(m: types.ModuleType) -> dict[str, object]:
    meters = collections.defaultdict(list, {"loss": [0.3, 0.2]})
    return {
        "meters": meters,
        "seen": collections.Counter("aab"),
        "window": collections.deque([1, 2], maxlen=5),
    }


def _reports(*names: str, module: str | None = None) -> Callable[[Callable[..., dict[str, object]]], Fixture]:
    return lambda extras: Fixture(extras, names, module)


FIXTURES: dict[str, Fixture] = {
    "namespace": _reports("argparse.Namespace")(
        lambda m: {"args": argparse.Namespace(model="resnet50", lr=0.1, out=pathlib.PurePosixPath("runs/1"))}
    ),
    "yacs_node": Fixture(_yacs, ("yacs.config.CfgNode",), "yacs.config"),
    "params_of_main": _reports("__main__.Params", module="__main__")(lambda m: {"params": m.Params(lr=0.1)}),
    "lightning_callback": Fixture(_callback, ("vanished_callbacks.ModelCheckpoint",), "vanished_callbacks"),
    "numpy_scalars": Fixture(_numpy_scalars),
    "numpy_arrays": Fixture(_numpy_arrays),
    "path": _reports("pathlib.PosixPath")(lambda m: {"output": pathlib.PosixPath("/data/runs/1")}),
    "times": Fixture(_times, ("datetime.datetime",)),
    "enum": _reports("vanished_enums.Mode", "vanished_enums.Level", module="vanished_enums")(
        lambda m: {"mode": m.Mode.TEST, "level": m.Level.LOW, "by": {m.Mode.TRAIN: 1}}
    ),
    "flag": _reports("vanished_enums.Flags", module="vanished_enums")(
        lambda m: {"flags": m.Flags.A | m.Flags.B}
    ),
    "collections": Fixture(_collections),
    "partial": _reports("functools.partial", "vanished_functions.warm_up", module="vanished_functions")(
        lambda m: {"schedule": functools.partial(m.warm_up, 3)}
    ),
    "function": _reports("vanished_functions.warm_up", module="vanished_functions")(
        lambda m: {"schedule": m.warm_up, "kind": m.Schedule}
    ),
    "bound_method": _reports("vanished_functions.Schedule", module="vanished_functions")(
        lambda m: {"step": m.Schedule().step}
    ),
    "slots": _reports("vanished_slots.Slotted", module="vanished_slots")(lambda m: {"held": m.Slotted()}),
    "setstate": _reports("vanished_slots.Stateful", module="vanished_slots")(
        lambda m: {"held": m.Stateful()}
    ),
    "dataclass": _reports("vanished_data.Recipe", "vanished_data.Frozen", module="vanished_data")(
        lambda m: {"recipe": m.Recipe(), "kind": m.Frozen()}
    ),
    "named_tuple": _reports("vanished_tuples.Point", module="vanished_tuples")(
        lambda m: {"point": m.Point(1, m.Point(2, 3))}
    ),
    "easydict": _reports("easydict.EasyDict", module="easydict")(
        lambda m: {"config": m.EasyDict(lr=0.1, model=m.EasyDict(depth=50))}
    ),
    "plain_torch": Fixture(_plain_torch),
    "optimizer": _reports("torch.optim.sgd.SGD")(lambda m: {"optimizer": _optimizer()}),
    "scheduler": _reports("torch.optim.lr_scheduler.StepLR")(
        lambda m: {"lr_scheduler": torch.optim.lr_scheduler.StepLR(_optimizer(), 30)}
    ),
    "scaler_state": Fixture(
        lambda m: {"scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 3}, "amp": None}
    ),
    "complex_number": Fixture(
        lambda m: {"root": 1 + 2j, "set": {1, 2}, "frozen": frozenset({3}), "range": range(3)}
    ),
    "decimal": _reports("decimal.Decimal")(lambda m: {"price": decimal.Decimal("0.1")}),
    "fraction": _reports("fractions.Fraction")(lambda m: {"share": fractions.Fraction(1, 3)}),
    "uuid": _reports("uuid.UUID")(lambda m: {"run": uuid.UUID(int=7)}),
    "pattern": _reports("re._compile")(lambda m: {"frozen": re.compile(r"layer[12]\..*")}),
    "bytes": Fixture(
        lambda m: {"hash": b"\x00\xff", "buffer": bytearray(b"abc"), "text": "caf\u00e9 \U0001f642"}
    ),
    "module_in_hyper_parameters": _reports("vanished_losses.MaxSup", module="vanished_losses")(
        lambda m: {"hyper_parameters": {"loss": m.MaxSup(), "net": nn.Sequential(nn.ReLU())}}
    ),
    "simple_namespace": _reports("types.SimpleNamespace")(
        lambda m: {"config": types.SimpleNamespace(lr=0.1, n=[1])}
    ),
    "subclasses_of_builtins": _reports(
        "vanished_containers.Names", "vanished_containers.Table", module="vanished_containers"
    )(
        lambda m: {
            "held": [m.Names([1, 2]), m.Table(a=1), m.Kinds({1}), m.Note("a"), m.Count(3)],
            "by": {m.Note("key"): m.Count(1)},
        }
    ),
    "reduce_of_five": _reports("vanished_reduce.rebuild", module="vanished_reduce")(
        lambda m: {"held": m.Made()}
    ),
    "new_with_keywords": _reports("vanished_reduce.Keyworded", module="vanished_reduce")(
        lambda m: {"held": m.Keyworded()}
    ),
    "metric_with_tensors": _reports("vanished_metrics.MeanMetric", module="vanished_metrics")(
        lambda m: {"metrics": [m.MeanMetric(), m.MeanMetric()]}
    ),
    "tensor_subclass": _reports("vanished_tensors.Named", module="vanished_tensors")(
        lambda m: {"mean": torch.zeros(2).as_subclass(m.Named)}
    ),
}
FOREIGN: dict[str, Callable[[Path], Path]] = {
    name: partial(Fixture.write, fixture) for name, fixture in FIXTURES.items()
} | {"omegaconf_node": _omegaconf}
REPORTED: dict[str, tuple[str, ...]] = {name: fixture.reported for name, fixture in FIXTURES.items()} | {
    "omegaconf_node": (
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.nodes.AnyNode",
        "omegaconf.base.Metadata",
    )
}
VANISHED = {module.partition(".")[0] for module in SOURCES} - {"__main__"}
