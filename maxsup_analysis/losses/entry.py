"""The table of losses, which every command, document and test reads."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from maxsup_analysis.losses.base import Loss
from maxsup_analysis.losses.ranges import Range, is_number
from maxsup_analysis.losses.signature import arguments_of, defaults_of
from maxsup_analysis.table import Table

Module = TypeVar("Module", bound=type[Loss])


@dataclass(frozen=True)
class LossEntry:
    """A loss to train with, and what a reader must know of it.

    name: the id in commands, files and tables.
    title: what the field calls it.
    formula: in Typst's notation for mathematics, which also reads as plain text.
    source: where it was published.
    module: the class, a drop-in replacement for torch.nn.CrossEntropyLoss.
    summary: what it does, the first paragraph of the class's docstring.
    """

    name: str
    title: str
    formula: str
    source: str
    module: type[Loss]
    summary: str

    @property
    def alpha(self) -> float | None:
        """The strength unless another is given; None where it has none."""
        alpha = defaults_of(self.module).get("alpha")
        return float(alpha) if is_number(alpha) else None

    @property
    def strengths(self) -> Range | None:
        """What alpha may be; None where it has none."""
        return None if self.alpha is None else self.module.strengths

    @property
    def arguments(self) -> dict[str, object]:
        """What else it can be told, with the defaults."""
        return arguments_of(self.module)

    @property
    def head(self) -> Literal["cosine"] | None:
        """The kind of head that the model must have for it; None for any."""
        return self.module.head


LOSSES: Table[LossEntry] = Table("loss")


def loss(name: str, *, title: str, formula: str, source: str) -> Callable[[Module], Module]:
    """Enter a class as a loss."""

    def enter(module: Module) -> Module:
        summary = inspect.getdoc(module).partition("\n\n")[0]  # type: ignore[union-attr]
        LOSSES.add(name, LossEntry(name, title, formula, source, module, " ".join(summary.split())))
        module.name = name
        return module

    return enter
