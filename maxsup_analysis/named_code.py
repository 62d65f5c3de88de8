"""The user's own code, by the name that the user gave it: `package.module:function` or `path/to/file.py:function`."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from maxsup_analysis.errors import InputError

T = TypeVar("T")


def named_code(name: str, *, returns: str) -> Callable[..., object]:
    """The function or class of that name; importing it runs the module or file that it is in.

    returns: what calling it gives, for the sentence that says that there is none.
    """
    place, _, factory = name.rpartition(":")
    module = run_file(Path(place)) if place.endswith(".py") else _imported(place)
    builder = getattr(module, factory, None)
    if not callable(builder):
        callables = [
            word for word, value in vars(module).items() if callable(value) and not word.startswith("_")
        ]
        near = get_close_matches(factory, callables, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"name a function or class that returns {returns}"
        raise InputError(
            f"expected a function {factory!r} in {place}, got nothing callable of that name; {hint}"
        )
    return builder


def run_file(path: Path) -> ModuleType:
    """Run a Python file of the user's."""
    if not path.is_file():
        raise InputError(f"expected a Python file at {path}, got nothing there; check the path")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"expected a Python file, got {path}; name one that ends in .py")
    module = module_from_spec(spec)
    _run(partial(spec.loader.exec_module, module), str(path))
    return module


def _imported(place: str) -> ModuleType:
    return _run(lambda: import_module(place), place)


def _run(importing: Callable[[], T], place: str) -> T:
    try:
        return importing()
    except InputError:
        raise
    except (Exception, SystemExit) as reason:  # The user's code may raise anything.
        detail = " ".join(str(reason).split())[:200]
        raise InputError(
            f"importing {place} failed with {type(reason).__name__}: {detail}; run it with Python by itself first"
        ) from reason
