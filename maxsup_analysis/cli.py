"""The command line: parse, make one call, print. The rest is imported inside each command."""

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.store_commands import store_app
from maxsup_analysis.version import __version__

INTERNAL_ERROR = 70

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Is the representation of a classifier collapsing? From a checkpoint to features, metrics with 95 % "
    "intervals, a comparison and a report.\n\nResults go to stdout, progress to stderr. Exit codes: 0 ok, "
    "2 bad input, 130 interrupted, 143 terminated, 70 a bug. Add --debug to any command for a traceback.",
)

Output = Annotated[Optional[Path], typer.Option("--output", "-o", help="Where to write.")]  # noqa: UP045
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")]
Data = Annotated[Optional[str], typer.Option(help="Data set; by default the checkpoint's.")]  # noqa: UP045
DataDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--data-dir", "--data-path", help="Folder of the data set's files."),
]
Split = Annotated[Optional[str], typer.Option(help="train or test; by default the checkpoint's.")]  # noqa: UP045
Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint file or folder: PyTorch, Lightning, timm, Hugging Face, safetensors, .npz, ..."
    ),
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


app.add_typer(store_app, name="store")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program as a whole."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write.")],
    data: Annotated[str, typer.Option(help="digits or fashion-mnist.")] = "digits",
    loss: Annotated[str, typer.Option(help="ce, ls or maxsup; see `maxsup-analyze losses`.")] = "ce",
    alpha: Annotated[float, typer.Option(help="Strength of the loss.")] = 0.1,
    alpha_end: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Strength in the last epoch, reached linearly (MaxSup's paper: 0.1 to 0.2)."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "--arch", "-m", help="small_cnn or timm/NAME.")
    ] = "small_cnn",
    epochs: Annotated[int, typer.Option()] = 15,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b")] = 64,
    lr: Annotated[float, typer.Option("--lr", help="Peak of the one-cycle schedule.")] = 0.2,
    weight_decay: Annotated[float, typer.Option()] = 5e-4,
    seed: Annotated[int, typer.Option()] = 0,
    train_samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Train on the first so many images only."),
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Train one run with one loss; the checkpoint says what it is."""
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.progress import say
    from maxsup_analysis.training import TrainingPlan
    from maxsup_analysis.training import train as run

    require_absent(output, overwrite=overwrite)
    plan = TrainingPlan(
        data=data,
        loss=loss,
        alpha=alpha,
        alpha_end=alpha_end,
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        weight_decay=weight_decay,
        seed=seed,
        train_samples=train_samples,
        data_dir=data_dir,
        device=device,
    )
    accuracy = run(plan, output)
    say(f"trained {loss} with seed {seed}: accuracy {accuracy:.3f} on its training samples")
    print(output)


@app.command()
def inspect(
    checkpoint: Checkpoint,
    as_json: AsJson = False,
    use_ema: UseEma = None,
    weights_key: WeightsKey = None,
    verify: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option("--verify/--no-verify", help="Check every byte; by default up to 1 GB."),
    ] = None,
) -> None:
    """What a checkpoint is, without running anything from it: format, architecture, head, training, warnings."""
    from maxsup_analysis.inspection import inspect_checkpoint

    found = inspect_checkpoint(checkpoint, use_ema=use_ema, weights_key=weights_key, verify=verify)
    print(json.dumps(found.to_plain(), indent=2) if as_json else found.to_text())


@app.command()
def features(
    checkpoint: Checkpoint,
    output: Output = None,
    data: Data = None,
    data_dir: DataDir = None,
    split: Split = None,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--model",
            "--arch",
            "-m",
            help="NAME of timm or torchvision, hf:FOLDER, package.module:factory "
            "or file.py:factory; by default what the checkpoint says or shows.",
        ),
    ] = None,
    model_args: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="KEY=VALUE[,...]", help="Arguments of the model's constructor."),
    ] = None,
    layer: Annotated[Optional[str], typer.Option(help="Take this layer's output as the features.")] = None,  # noqa: UP045
    list_layers: Annotated[bool, typer.Option("--list-layers", help="Print the layers and leave.")] = False,
    use_ema: UseEma = None,
    weights_key: WeightsKey = None,
    class_map: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Which output each class is: a class name or a number a line, or `path output` lines."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", "--img-size", help="Pixels the model sees.")
    ] = None,
    resize: Annotated[
        Optional[int], typer.Option("--resize", "--val-resize-size", help="Shorter side before the crop.")  # noqa: UP045
    ] = None,
    crop_pct: Annotated[
        float | None, typer.Option(help="Part that the crop keeps, instead of --resize.")
    ] = None,
    mean: Annotated[Optional[str], typer.Option(help="By channel, such as 0.5,0.5,0.5.")] = None,  # noqa: UP045
    std: Annotated[Optional[str], typer.Option(help="By channel.")] = None,  # noqa: UP045
    interpolation: Annotated[Optional[str], typer.Option(help="bilinear, bicubic, nearest, lanczos.")] = None,  # noqa: UP045
    expect_sha256: Annotated[Optional[str], typer.Option(help="Refuse any other file.")] = None,  # noqa: UP045
    batch_size: BatchSize = "256",
    workers: Workers = None,
    amp: Annotated[Optional[str], typer.Option(help="Autocast: bf16 or fp16.")] = None,  # noqa: UP045
    tf32: Annotated[bool, typer.Option("--tf32", help="Allow TF32 on NVIDIA GPUs.")] = False,
    compile_model: Annotated[bool, typer.Option("--compile", help="torch.compile the model.")] = False,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Deterministic algorithms.")] = False,
    dtype: Annotated[
        str, typer.Option(help="How rows are stored: float32, float16 or bfloat16.")
    ] = "float32",
    logits: Annotated[bool, typer.Option(help="Store the logits too.")] = True,
    on_error: Annotated[
        str, typer.Option(help="Samples that cannot be read or are not finite: fail, or skip (listed).")
    ] = "fail",
    hash_data: Annotated[
        bool, typer.Option("--hash-data", help="Tell changed data by their contents, not by size and time.")
    ] = False,
    rank: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="RANK/WORLD", help="This process's part of the shards; torchrun's by itself."),
    ] = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say rows, disk, memory and time; write nothing.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Penultimate features and logits of every sample, into a feature store beside the checkpoint.

    Interrupted or killed, the same command goes on; when nothing has changed, it uses what is there.
    """
    from maxsup_analysis.classifiers import ModelChoice
    from maxsup_analysis.extraction import Storage
    from maxsup_analysis.features import Extraction, extract_share, layers_of
    from maxsup_analysis.forward import Precision
    from maxsup_analysis.preprocessing import Overrides

    one_of("--on-error", on_error, "fail", "skip")
    images = Overrides(
        image_size, resize, crop_pct, numbers("--mean", mean), numbers("--std", std), interpolation
    )
    how = Extraction(
        data=data,
        data_dir=data_dir,
        split=split,
        batch_size=batch_of(batch_size),
        device=device,
        workers=workers,
        model=ModelChoice(model, arguments("--model-args", model_args or []), layer, images),
        use_ema=use_ema,
        weights_key=weights_key,
        class_map=class_map,
        expect_sha256=expect_sha256,
        precision=Precision(amp, tf32, deterministic, compile_model),
        storage=Storage(dtype, logits, skip=on_error == "skip"),
        hash_data=hash_data,
        rank=rank,
    )
    if list_layers:
        for name, shape in layers_of(checkpoint, how).items():
            print(name, " x ".join(str(length) for length in shape[1:]), sep="\t")
    elif dry_run:
        from maxsup_analysis.rehearsal import rehearse

        print(rehearse(checkpoint, output, how).to_text())
    elif (store := extract_share(checkpoint, output, how, overwrite=overwrite)) is not None:
        print(store.path)


@app.command()
def measure(
    source: Annotated[
        Path,
        typer.Argument(
            help="A feature store, a checkpoint, or .npz, .safetensors, .pt with features and labels "
            "(optionally logits, weight, bias, ids)."
        ),
    ],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    standard_errors: Annotated[bool, typer.Option(help="Standard errors and intervals.")] = True,
    data: Data = None,
    data_dir: DataDir = None,
    split: Split = None,
    batch_size: BatchSize = "256",
    workers: Workers = None,
    device: Device = "auto",
    dask: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="SCHEDULER", help="Sweep over the rows on a Dask cluster: its address or file."),
    ] = None,
) -> None:
    """Every metric with its standard error."""
    from maxsup_analysis.features import Extraction
    from maxsup_analysis.pipeline import measure_source, open_source
    from maxsup_analysis.tables import measurements_table, show

    one_format(as_json, as_csv)
    how = Extraction(
        data=data,
        data_dir=data_dir,
        split=split,
        batch_size=batch_of(batch_size),
        device=device,
        workers=workers,
    )
    opened = open_source(source, how, dask=dask)
    measured = measure_source(opened, standard_errors=standard_errors)
    if as_json:
        print(measured.to_json())
    elif as_csv:
        print(measured.to_frame().to_csv(), end="")
    else:
        show(measurements_table(measured), measured.notes)


@app.command()
def compare(
    runs: Runs,
    baseline: Baseline = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Paired differences from a baseline on the same samples, with 95 % intervals."""
    from maxsup_analysis.pipeline import compare_named, open_named
    from maxsup_analysis.tables import comparison_table, show

    one_format(as_json, as_csv)
    compared = compare_named(open_named(runs), baseline=baseline)
    if as_json:
        print(compared.to_json())
    elif as_csv:
        print(compared.to_frame().to_csv(), end="")
    else:
        show(comparison_table(compared), compared.notes)


@app.command()
def figure(
    kind: Annotated[str, typer.Argument(help="templates, umap, logits, spectrum or metrics.")],
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png, .svg or .pdf file.")],
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Three labels for `templates`, such as 3,5,8; by default three close ones."),
    ] = None,
    basis: Annotated[str, typer.Option(help="templates (rows of the head) or centroids.")] = "templates",
    center: Annotated[str, typer.Option(help="none or mean.")] = "none",
    max_samples: Annotated[int, typer.Option(help="Points drawn, the same for every run.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of UMAP and of the choice of points.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """One figure of one or several runs; the first run stands for each name."""
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.pipeline import open_named
    from maxsup_analysis.reporting import FigureRequest, draw_figure

    require_absent(output, overwrite=overwrite)
    request = FigureRequest(kind, classes, basis, center, max_samples, seed)
    draw_figure(open_named(runs), request, output)
    print(output)


@app.command()
def report(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PDF to write.")] = Path("report.pdf"),
    html: Annotated[Optional[Path], typer.Option(help="Also write one self-contained HTML file.")] = None,  # noqa: UP045
    baseline: Baseline = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """A PDF: what was compared, the table with intervals, figures, definitions, provenance."""
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.pipeline import open_named
    from maxsup_analysis.reporting import write_report

    for path in [output] + ([html] if html else []):
        require_absent(path, overwrite=overwrite)
    write_report(open_named(runs), output, html=html, baseline=baseline, title=title)
    print(output)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(help="Runs of each loss.")] = 3,
    epochs: Annotated[int, typer.Option()] = 15,
    overwrite: Overwrite = False,
) -> None:
    """All of it on handwritten digits, offline: CE, LS and MaxSup trained, compared and reported."""
    from maxsup_analysis.demonstration import demonstrate
    from maxsup_analysis.tables import comparison_table, show

    compared = demonstrate(output, seeds=seeds, epochs=epochs, overwrite=overwrite)
    show(comparison_table(compared), compared.notes)
    print(output / "report.pdf")


@app.command()
def metrics() -> None:
    """Every metric: formula, convention, source, value at collapse."""
    from maxsup_analysis.catalogue import metrics_text

    print(metrics_text())


@app.command()
def losses() -> None:
    """Every loss: formula and source."""
    from maxsup_analysis.catalogue import losses_text

    print(losses_text())


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
    import ast
    import re

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


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    arguments = [hyphenated(argument) for argument in sys.argv[1:]]
    debug = "--debug" in arguments
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        app(args=[argument for argument in arguments if argument != "--debug"], prog_name="maxsup-analyze")
    except Interrupted as interrupted:
        print(farewell(interrupted), file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except InputError as error:
        leave(error, str(error), 2, debug=debug)
    except OSError as error:
        leave(error, f"{error.filename or 'the system'}: {error.strerror or error}", 2, debug=debug)
    except Exception as error:
        hint = f"{type(error).__name__}: {error}; this is a bug: run it again with --debug and report it"
        leave(error, hint, INTERNAL_ERROR, debug=debug)


class Interrupted(BaseException):
    """Ctrl-C or a termination: no error, so that nothing on the way out takes it for one."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def interrupt(number: int, frame: object) -> None:
    """What a signal does; a second one ends the program at once."""
    for known in (signal.SIGINT, signal.SIGTERM):
        signal.signal(known, signal.SIG_DFL)
    raise Interrupted(number)


def farewell(interrupted: Interrupted) -> str:
    """What is kept, if anything, and the line that goes on."""
    kept = getattr(interrupted, "__notes__", None)
    if not kept:
        return "interrupted; nothing half-written is left"
    command = shlex.join(["maxsup-analyze", *sys.argv[1:]])
    return clean_label(f"interrupted; {'; '.join(kept)}; to go on: {command}", 4000)


def leave(error: Exception, message: str, code: int, *, debug: bool) -> None:
    """One line on stderr and the exit code; with debug the traceback instead."""
    if debug:
        raise error
    for note in getattr(error, "__notes__", ()):
        print(clean_label(note, 2000), file=sys.stderr)
    # Names from files may be in it.
    print(f"error: {clean_label(' '.join(message.split()), 2000)}", file=sys.stderr)
    sys.exit(code)


def hyphenated(argument: str) -> str:
    """`--batch_size=8` as `--batch-size=8`: both spellings are in use in the field."""
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value if flag.startswith("--") else argument
