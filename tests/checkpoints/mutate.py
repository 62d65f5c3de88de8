"""Mutants of small benign files of every kind, and what a reader makes of them.

`run(count, seed)` opens mutants in forks, a hundred each, under a limit on memory and an alarm: whatever is not
Contents or InputError, takes longer than ten seconds or kills the process is a failure, told with the number that
makes it again.
"""

import faulthandler
import io
import json
import os
import pickle
import pickletools
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from maxsup_analysis.errors import InputError
from tests.checkpoints.archives import (
    Record,
    leading_pickles,
    npy,
    safetensors,
    saved,
    storages_of,
    torch_tar,
    torch_zip,
    unzipped,
    zipped,
)
from tests.checkpoints.headers import LAYER
from tests.checkpoints.hostile import MATRIX, distributed_metadata, weights
from tests.checkpoints.opcodes import (
    BUILD,
    PERSISTENT,
    WEIGHTS,
    items,
    made,
    mapping,
    named,
    state_dict,
    stream,
    text,
    value_of,
)
from tests.checkpoints.opening import entry

BATCH = 100
ALARM_SECONDS = 10
ADDRESS_SPACE = 2 * 2**30
WORKERS = 2
EDGES = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63,
    2**64 - 1,
)


@dataclass(frozen=True)
class Sample:
    """A benign file.

    core: the part that says what is in the file (a pickle, a header), mutated on its own so that the check sums around
    it still hold; whole: from a core to the file; beside: other files of the same folder, the mutant being `name`.
    """

    name: str
    core: bytes
    whole: Callable[[bytes], bytes] = bytes
    beside: dict[str, bytes] = field(default_factory=dict)

    @property
    def opened_as_folder(self) -> bool:
        return bool(self.beside)


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, MATRIX)
    return file.getvalue()


def _legacy(core: bytes) -> bytes:
    honest = saved(weights(), legacy=True)
    return honest.replace(_legacy_document(), core)


@cache
def _legacy_document() -> bytes:
    return leading_pickles(saved(weights(), legacy=True), 4)[3]


@cache
def samples() -> tuple[Sample, ...]:
    """The corpus."""
    whole = {"state_dict": weights(), "epoch": 3, "args": {"lr": 0.1, "steps": [30, 60], "name": "resnet"}}
    members = unzipped(saved(whole))
    zipped_document = members["data.pkl"]
    scripted = stream(made(named("__torch__", "Net")) + mapping(*state_dict()) + BUILD)
    module = mapping((text("_parameters"), mapping(*state_dict())), (text("_modules"), mapping()))
    tarred = stream(mapping((text("weight"), text("0") + PERSISTENT), (text("bias"), text("1") + PERSISTENT)))
    document = unzipped(saved(weights()["weight"]))["data.pkl"]
    item = torch_zip(document, {"0": WEIGHTS["0"]})
    header, index = json.dumps({"weight": LAYER}).encode(), {"weight_map": {"weight": "a.safetensors"}}
    shard = {"a.safetensors": safetensors({"weight": LAYER}, WEIGHTS["0"])}
    exported = {"weight": {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {
        "dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}],
        "requires_grad": True, "device": {"type": "cpu", "index": None}, "layout": 7, "storage_offset": {"as_int": 0},
    }}}  # fmt: skip
    return (
        Sample("zip.pt", zipped_document, lambda core: torch_zip(core, storages_of(members))),
        Sample(
            "module.pt",
            stream(made(named("n", "Net")) + module + BUILD),
            lambda core: torch_zip(core, WEIGHTS),
        ),
        Sample("stream.pth", _legacy_document(), _legacy),
        Sample("tar.pth", tarred, lambda core: torch_tar(core, WEIGHTS)),
        Sample("scripted.pt", scripted, lambda core: _scripted(core)),
        Sample("net.pt2", json.dumps({"config": exported}).encode(), _exported),
        Sample("bare.pkl", stream(mapping((text("weight"), value_of(MATRIX)), (text("lr"), value_of(0.1))))),
        Sample("framed.pkl", pickle.dumps({"weight": MATRIX, "rates": [0.1, 1], "name": "n"}, protocol=4)),
        Sample("text.pkl", pickle.dumps({"weight": [0.5, 1], "name": "n", "pair": (1, 2)}, protocol=0)),
        Sample("model.safetensors", header, lambda core: safetensors(core, WEIGHTS["0"])),
        Sample("weight.npy", _npy()[10:80], lambda core: npy(core[:1000].decode("latin-1"), WEIGHTS["0"])),
        Sample("weights.npz", _npy(), lambda core: zipped([Record("weight.npy", core)])),
        Sample("packed.npz", _npy(), lambda core: zipped([Record("weight.npy", core, deflate=True)])),
        Sample(".metadata", stream(distributed_metadata(len(item), {})), beside={"__0_0.distcp": item}),
        Sample(
            "__0_0.distcp",
            document,
            lambda core: torch_zip(core, {"0": WEIGHTS["0"]}),
            {".metadata": stream(distributed_metadata(len(item), {}))},
        ),
        Sample("model.safetensors.index.json", json.dumps(index).encode(), beside=shard),
    )


def _scripted(core: bytes) -> bytes:
    names = {
        "data.pkl": core,
        "constants.pkl": stream(items()),
        "code/__torch__.py": b"class Net(Module):\n  pass\n",
    }
    names |= {f"data/{key}": body for key, body in WEIGHTS.items()} | {
        "version": b"3\n",
        "byteorder": b"little",
    }
    return zipped(Record(f"net/{name}", body) for name, body in names.items())


def _exported(core: bytes) -> bytes:
    names = {"data/weights/model_weights_config.json": core, "data/weights/weight_0": WEIGHTS["0"]}
    names |= {"data/constants/model_constants_config.json": b'{"config": {}}', "models/model.json": b"{}"}
    names |= {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
    return zipped(Record(f"net/{name}", body) for name, body in names.items())


# Mutations: from bytes to bytes.


def flip(content: bytearray, rng: random.Random) -> None:
    """One to eight bits."""
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] = rng.randrange(256)


def truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def remove(content: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(content))
    del content[begin : begin + rng.randint(1, 16)]


def repeat(content: bytearray, rng: random.Random) -> None:
    """A piece, once more or a thousand times."""
    begin = rng.randrange(len(content))
    piece = bytes(content[begin : begin + rng.randint(1, 32)])
    content[begin:begin] = piece * rng.choice((1, 1, 2, 50, 1000))


def edit_length(content: bytearray, rng: random.Random) -> None:
    """A number at the edge of what a field can hold, wherever that falls."""
    width = rng.choice((1, 2, 4, 8))
    begin = rng.randrange(len(content))
    value = (rng.choice(EDGES) + rng.choice((-1, 0, 0, 1))) % 2 ** (8 * width)
    content[begin : begin + width] = value.to_bytes(width, rng.choice(("little", "little", "big")))


def edit_digits(content: bytearray, rng: random.Random) -> None:
    """A number in text: of a header, of a memo index, of a length."""
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    begin = rng.choice(digits) if digits else rng.randrange(len(content))
    content[begin : begin + 1] = rng.choice(
        (b"-1", b"0", b"1e9", b"99999999999999999999", b"NaN", b"9" * 5000, b"0.5")
    )


def splice(content: bytearray, rng: random.Random) -> None:
    """A piece of another sample."""
    other = rng.choice(samples()).core
    begin = rng.randrange(len(other))
    place = rng.randrange(len(content))
    content[place : place + rng.choice((0, 8, 64))] = other[begin : begin + rng.randint(1, 128)]


@cache
def _opcodes(core: bytes) -> tuple[int, ...]:
    """Where each opcode begins; of what is not a pickle, nowhere."""
    try:
        return tuple(place for _, _, place in pickletools.genops(core) if place is not None)
    except (ValueError, UnicodeDecodeError):
        return ()


CODES = tuple(code.code.encode("latin-1") for code in pickletools.opcodes)
ARGUMENTS = (
    b"",
    b"",
    b"\x00",
    b"\x01",
    b"\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"os\nsystem\n",
    b"1\n",
)


def insert_opcode(content: bytearray, rng: random.Random) -> None:
    """Any opcode between two others, with some argument."""
    places = [place for place in _opcodes(bytes(content)) if place] or [rng.randrange(len(content))]
    place = rng.choice(places)
    content[place:place] = (rng.choice(CODES) + rng.choice(ARGUMENTS)) * rng.choice((1, 1, 1, 2, 200))


def move_opcode(content: bytearray, rng: random.Random) -> None:
    """An opcode and its argument, copied, moved or dropped."""
    places = _opcodes(bytes(content))
    if len(places) < 3:
        return overwrite(content, rng)
    begin = rng.randrange(1, len(places) - 1)
    piece = bytes(content[places[begin] : places[begin + 1]])
    if rng.random() < 0.5:
        del content[places[begin] : places[begin + 1]]
    if rng.random() < 0.8:
        to = rng.choice(places[1:begin] or places[:1])
        content[to:to] = piece
    return None


MUTATIONS = (
    flip, overwrite, truncate, remove, repeat, edit_length, edit_digits, splice, move_opcode,
    insert_opcode, insert_opcode,
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A changed sample."""

    sample: Sample
    content: bytes


def mutant(number: int, seed: int) -> Mutant:
    """The mutant of this number: the same every time."""
    rng = random.Random(f"{seed}:{number}")
    sample = samples()[number % len(samples())]
    inner = rng.random() < 0.75
    content = bytearray(sample.core if inner else sample.whole(sample.core))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if content:
            rng.choice(MUTATIONS)(content, rng)
    return Mutant(sample, sample.whole(bytes(content)) if inner else bytes(content))


def placed(made_of: Mutant, folder: Path) -> Path:
    """Write a mutant; the path to open."""
    if not made_of.sample.opened_as_folder:
        path = folder / made_of.sample.name
        path.write_bytes(made_of.content)
        return path
    home = folder / f"{made_of.sample.name.strip('._')}.folder"
    home.mkdir(exist_ok=True)
    for name, body in {**made_of.sample.beside, made_of.sample.name: made_of.content}.items():
        (home / name).write_bytes(body)
    return home


def verdict(parse: Callable[[Path], object], path: Path) -> str:
    """What opening gives: `opened`, `refused`, or what went wrong."""
    try:
        parse(path)
    except InputError as error:
        return (
            "refused" if str(error).isprintable() else f"a message of more than a line: {str(error)[:300]!r}"
        )
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]!r}"
    return "opened"


@dataclass
class Tally:
    """How many mutants had which outcome, and the numbers of those that failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    def note(self, number: int, outcome: str) -> None:
        """Count one outcome."""
        self.counts[outcome if outcome in {"opened", "refused"} else "failed"] += 1
        if outcome not in {"opened", "refused"}:
            self.failures[number] = outcome


def _limit() -> None:
    """Two gigabytes more than are mapped already, and an end to what does not answer."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE, mapped + ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.disable()


def _batch(numbers: Sequence[int], seed: int, folder: Path, sink: int) -> None:
    """In the child: a line for each mutant."""
    _limit()
    parse = entry("parse")
    with os.fdopen(sink, "w", buffering=1) as told:
        for number in numbers:
            path = placed(mutant(number, seed), folder)
            signal.alarm(ALARM_SECONDS)
            outcome = verdict(parse, path)
            signal.alarm(0)
            told.write(json.dumps(outcome) + "\n")


def _start(numbers: Sequence[int], seed: int, folder: Path) -> tuple[int, int]:
    """Fork a child for a batch: its id, and where it tells."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        try:
            _batch(numbers, seed, folder, sink)
        except BaseException as error:
            print(f"the harness failed: {error!r}", file=sys.stderr)
            os._exit(3)
        os._exit(0)
    os.close(sink)
    return child, source


def _worker(begin: int, count: int, seed: int, folder: Path) -> Tally:
    """Mutants begin, begin + 1, ... in batches; the next starts after one that kills its child."""
    tally, number, end = Tally(), begin, begin + count
    while number < end:
        numbers = range(number, min(number + BATCH, end))
        child, source = _start(numbers, seed, folder)
        with os.fdopen(source) as told:
            outcomes = [json.loads(line) for line in told if line.endswith("\n")]
        _, status = os.waitpid(child, 0)
        for place, outcome in enumerate(outcomes):
            tally.note(number + place, outcome)
        number += len(outcomes)
        if len(outcomes) < len(numbers):
            ended = os.waitstatus_to_exitcode(status)
            tally.note(
                number, "no answer in time" if ended == -signal.SIGALRM else f"the process died: {ended}"
            )
            number += 1
    return tally


def run(count: int, seed: int) -> Tally:
    """Open mutants 0 to count, shared between processes."""
    scratch = Path(
        tempfile.mkdtemp(prefix="mutants-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    )
    shares = [range(count * part // WORKERS, count * (part + 1) // WORKERS) for part in range(WORKERS)]
    try:
        told = []
        for part, share in enumerate(shares):
            (scratch / str(part)).mkdir()
            told.append(_in_process(share, seed, scratch / str(part)))
        return _gathered(told)
    finally:
        shutil.rmtree(scratch)


def _in_process(share: range, seed: int, folder: Path) -> tuple[int, int]:
    """Fork a worker: its id, and where it tells its tally."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        tally = _worker(share.start, len(share), seed, folder)
        with os.fdopen(sink, "w") as out:
            out.write(json.dumps([tally.counts, tally.failures]))
        os._exit(0)
    os.close(sink)
    return child, source


def _gathered(told: Sequence[tuple[int, int]]) -> Tally:
    whole = Tally()
    for child, source in told:
        with os.fdopen(source) as answer:
            counts, failures = json.load(answer)
        os.waitpid(child, 0)
        whole.counts.update(counts)
        whole.failures.update({int(number): outcome for number, outcome in failures.items()})
    return whole


def main(count: int, seed: int) -> None:
    """Print the tally as JSON."""
    entry("parse")  # imported once, before the forks
    tally = run(count, seed)
    print(json.dumps({"counts": dict(sorted(tally.counts.items())), "failures": tally.failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
