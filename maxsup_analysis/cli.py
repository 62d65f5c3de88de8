"""The command line: parse, make one call, print. The rest is imported inside each command."""

import io
import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from maxsup_analysis.ablate_command import ablate
from maxsup_analysis.advice import with_commands
from maxsup_analysis.errors import sentence_of
from maxsup_analysis.feature_command import features
from maxsup_analysis.labels import clean_label
from maxsup_analysis.measure_commands import compare, figure, losses, measure, metrics, report
from maxsup_analysis.options import AsJson, Checkpoint, Overwrite, UseEma, WeightsKey
from maxsup_analysis.probe_command import probe
from maxsup_analysis.store_commands import store_app
from maxsup_analysis.train_command import train
from maxsup_analysis.version import __version__

INTERNAL_ERROR = 70
SIGNALS = (signal.SIGINT, signal.SIGTERM)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Is the representation of a classifier collapsing? From a checkpoint to features, metrics with 95 % "
    "intervals, a comparison and a report.\n\nResults go to stdout, progress to stderr. Exit codes: 0 ok, "
    "2 bad input, 130 interrupted, 143 terminated, 70 a bug. Add --debug to any command for a traceback.",
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program as a whole."""
    if version:
        print(__version__)
        raise typer.Exit


app.command()(train)


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


for command in (features, measure, compare, figure, report, ablate, probe):
    app.command()(command)


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


for command in (metrics, losses):
    app.command()(command)
app.add_typer(store_app, name="store")


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    arguments = [hyphenated(argument) for argument in sys.argv[1:]]
    debug = "--debug" in arguments
    _print_any_path()
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        given = [argument for argument in arguments if argument != "--debug"]
        sys.exit(app(args=given, prog_name="maxsup-analyze", standalone_mode=False))
    except Interrupted as interrupted:
        print(farewell(interrupted), file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except Exception as error:
        sentence = usage_of(error) or _advised(sentence_of(error), arguments)
        bug = f"{type(error).__name__}: {error}; this is a bug: run it again with --debug and report it"
        leave(error, sentence or bug, INTERNAL_ERROR if sentence is None else 2, debug=debug)
    finally:
        by_the_system()  # Nothing is left to be said about a signal.


def flags_of_commands() -> dict[str, list[str]]:
    """The flags of each command, `features` first, which has most of them."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands", {})
    names = sorted(commands, key=lambda name: (name != "features", name))
    return {name: [flag for one in commands[name].params for flag in one.opts] for name in names}


def _advised(sentence: str | None, arguments: list[str]) -> str | None:
    return sentence and with_commands(sentence, next(iter(arguments), None), flags_of_commands())


def _print_any_path() -> None:
    """Paths are printed with the bytes that they have, also those that are no text of the terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if stream is sys.stdout else "backslashreplace")


class Interrupted(BaseException):
    """Ctrl-C or a termination: no error, so that nothing on the way out takes it for one."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def interrupt(number: int, frame: object) -> None:
    """What a signal does; a second one ends the program at once."""
    by_the_system()
    raise Interrupted(number)


def by_the_system() -> None:
    """Leave signals to the system, which ends the process."""
    for known in SIGNALS:
        signal.signal(known, signal.SIG_DFL)


def farewell(interrupted: Interrupted) -> str:
    """What is kept, if anything, and the line that goes on."""
    kept = getattr(interrupted, "__notes__", None)
    if not kept:
        return "interrupted; nothing half-written is left"
    command = shlex.join(["maxsup-analyze", *sys.argv[1:]])
    return clean_label(f"interrupted; {'; '.join(kept)}; to go on: {command}", 4000)


def usage_of(error: Exception) -> str | None:
    """What is wrong with the command line itself, whose parser would take four lines; None for other errors.

    Without a word of the user's the parser has shown the help, and there is nothing to add.
    """
    describe, context = getattr(error, "format_message", None), getattr(error, "ctx", None)
    if describe is None:
        return None
    message = describe().strip().rstrip(".")
    command = context.command_path if context else "maxsup-analyze"
    if not message:
        sys.exit(2)
    return f"{message}{' ' if message.endswith('?') else '; '}`{command} --help` lists what it takes"


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
