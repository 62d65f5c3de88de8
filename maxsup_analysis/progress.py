"""Progress on stderr."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
CONSOLE = Console(stderr=True, highlight=False)


def track(steps: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The steps themselves, with a bar on stderr while they last where stderr is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        for step in steps:
            yield step
            bar.advance(task)


def say(line: str) -> None:
    """One line on stderr."""
    CONSOLE.print(line, markup=False, soft_wrap=True)
