"""Progress on stderr."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from maxsup_analysis.labels import clean_label

T = TypeVar("T")
CONSOLE = Console(stderr=True, highlight=False)
# Where stderr is a file, a line this often, in seconds.
LINE_EVERY = 60.0
# Letters of a line.
LONGEST = 4000


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
    CONSOLE.print(clean_label(line, LONGEST), markup=False, soft_wrap=True)


class Meter:
    """Rows done, rows a second, time left, where the time goes; a bar on a terminal, else a line a minute."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.stages: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self.rows = 0
        self.seconds: dict[str, float] = {}
        self.started = self.shown = self.charged = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it lasts, progress is shown."""
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[speed]}"),
        )  # fmt: skip
        with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as self.bar:
            self.task = self.bar.add_task(self.what, total=self.total, speed="")
            self.restart()
            yield

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """The time that this takes counts for a stage, less that of the stages within it."""
        self._charge()
        self.stages.append(stage)
        try:
            yield
        finally:
            self._charge()
            self.stages.pop()

    def timed_steps(self, steps: Iterable[T], stage: str) -> Iterator[T]:
        """The steps; the time that each takes to come counts for a stage."""
        iterator = iter(steps)
        while True:
            with self.timed(stage):
                try:
                    step = next(iterator)
                except StopIteration:
                    return
            yield step

    def advance(self, rows: int) -> None:
        """So many more rows are done."""
        self.rows += rows
        self.bar.update(self.task, advance=rows, speed=self.summary)
        if not CONSOLE.is_terminal and time.monotonic() - self.shown > LINE_EVERY:
            self.shown = time.monotonic()
            left = (self.total - self.rows) / max(self.rate, 1e-9)
            say(f"{self.what}: {self.rows:,} of {self.total:,} rows, {self.summary}, {duration(left)} left")

    def _charge(self) -> None:
        now = time.monotonic()
        if self.stages:
            self.seconds[self.stages[-1]] = self.seconds.get(self.stages[-1], 0.0) + now - self.charged
        self.charged = now

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / max(self.elapsed, 1e-9)

    @property
    def summary(self) -> str:
        """Such as `813 rows/s (data 12 %, model 80 %, writing 3 %)`."""
        shares = ", ".join(
            f"{stage} {seconds / max(self.elapsed, 1e-9):.0%}".replace("%", " %")
            for stage, seconds in self.seconds.items()
        )
        return f"{self.rate:,.0f} rows/s" + (f" ({shares})" if shares else "")


def duration(seconds: float) -> str:
    """In words.

    Example:
        >>> duration(75.0), duration(4000.0), duration(7.25)
        ('1 min 15 s', '1 h 06 min', '7.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
