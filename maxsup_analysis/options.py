"""Options that several commands share, and what their text says."""

import ast
import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from maxsup_analysis.errors import InputError

Output = Annotated[Optional[Path], typer.Option("--output", "-o", help="Where to write.")]  # noqa: UP045
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")]
Data = Annotated[Optional[str], typer.Option(help="Data set; by default the checkpoint's.")]  # noqa: UP045
DataDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--data-dir", "--data-path", help="Folder of the data set's files."),
]
Split = Annotated[Optional[str], typer.Option(help="train, val or test; by default the checkpoint's.")]  # noqa: UP045
Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint file or folder: PyTorch, Lightning, timm, Hugging Face, safetensors, .npz, ..."
    ),
]
Model = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--model",
        "--arch",
        "-m",
        help="NAME of timm or torchvision, hf:FOLDER, package.module:factory or file.py:factory; by default what the "
        "checkpoint says or shows.",
    ),
]
ModelArgs = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--model-args", metavar="KEY=VALUE[,...]", help="Arguments of the model's constructor."),
]
UseEma = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--use-ema/--no-use-ema", help="The weights averaged over training, or not."),
]
WeightsKey = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--weights-key", help="The place of the weights in the file, such as model_ema."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[
    str, typer.Option("--batch-size", "-b", metavar="N|auto", help="auto: the largest that fits in memory.")
]
Workers = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--workers", "--num-workers", "-j", help="Processes that decode images; by default one a core."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV on stdout.")]
Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=STORE[,STORE...]...",
        help="Named runs; several stores of a name are its seeds. Without a name: the store's loss. "
        "A folder stands for all the stores in it.",
    ),
]
Baseline = Annotated[Optional[str], typer.Option(help="The name to compare with; CE, else the first.")]  # noqa: UP045
Group = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--group",
        "-g",
        metavar="NAME[,NAME...]",
        help="Which metrics: standard (the default; of `metrics` itself all), all, nc, variation, spectrum, "
        "conditional, logits, calibration, selection, or metrics by name.",
    ),
]
MetricsFrom = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(metavar="FILE.py", help="Also the metrics that this file of yours defines; it is run."),
]
MatchPerClass = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        metavar="N",
        help="At most N samples a class, the same ones of every checkpoint; for measures that their number biases.",
    ),
]


def numbers(flag: str, given: str | None) -> tuple[float, ...] | None:
    """`0.5,0.5,0.5` as numbers."""
    if given is None:
        return None
    try:
        return tuple(float(part) for part in given.replace(" ", ",").split(",") if part)
    except ValueError:
        raise InputError(f"expected numbers with commas between them for {flag}, got {given!r}") from None


def arguments(flag: str, given: list[str]) -> dict[str, object]:
    """`a=1,b=x` as arguments; values are Python's numbers, True, False, None and tuples, else text."""
    found: dict[str, object] = {}
    for part in [part for text in given for part in re.split(r",(?=\s*\w+=)", text)]:
        name, equals, value = part.strip().partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"expected {flag} KEY=VALUE, got {part!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def batch_of(given: str) -> int | None:
    """A number, or None for `auto`."""
    if given == "auto":
        return None
    try:
        return int(given)
    except ValueError:
        raise InputError(f"expected --batch-size of a number or auto, got {given!r}") from None


def one_of(flag: str, given: str, *choices: str) -> None:
    """Refuse anything else."""
    if given not in choices:
        raise InputError(f"expected {flag} {' or '.join(choices)}, got {given!r}")


def one_format(as_json: bool, as_csv: bool) -> None:
    """Refuse two formats at once."""
    if as_json and as_csv:
        raise InputError("expected --json or --csv, got both; choose one")
