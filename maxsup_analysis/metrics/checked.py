"""Functions of metrics from elsewhere: what they raise, or give that is no metric, becomes a sentence for the user."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from maxsup_analysis.errors import InputError, NotSmooth, Undefined

Gives = Literal["one number", "a number a sample", "a row of numbers a sample"]
PACKAGE = __name__.partition(".")[0]
PAGE = "docs/your-own-metrics.md says what each decorator wants"


@dataclass(frozen=True)
class Checked:
    """A function of the metric of that name, which gives a tensor of that shape or raises InputError."""

    function: Callable[..., Tensor]
    metric: str
    gives: Gives

    def __call__(self, *arguments: object) -> Tensor:
        """What the function gives."""
        try:
            found: object = self.function(*arguments)
        except (InputError, Undefined, NotSmooth):
            raise
        except Exception as reason:  # The user's code may raise anything.
            detail = " ".join(str(reason).split())[:200]
            raise InputError(
                f"the metric {self.metric} failed with {type(reason).__name__}: {detail}; {PAGE}"
            ) from reason
        if not isinstance(found, Tensor) or not self._fits(found, arguments[0]):
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"expected a tensor of {self.gives} from the metric {self.metric}, got {got}; {PAGE}"
            )
        return found

    def _fits(self, found: Tensor, argument: object) -> bool:
        if self.gives == "one number":
            return found.numel() == 1
        return found.ndim == 1 + ("row" in self.gives) and len(found) == len(argument)  # type: ignore[arg-type]


def checked(
    function: Callable[..., Tensor], gives: Gives, *, of: Callable[..., object] | None = None
) -> Callable[..., Tensor]:
    """The function itself where it is this package's, else one that is checked; of: the function that is decorated."""
    decorated = of or function
    if decorated.__module__.partition(".")[0] == PACKAGE:
        return function
    return Checked(function, getattr(decorated, "__name__", str(decorated)), gives)
