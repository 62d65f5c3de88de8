"""The text of a study file as a document: bounded, and of plain values, before any of it is looked at."""

import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from unicodedata import category

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.study.places import line_of

# Bytes of a file, tables in tables, and TOML's own range of whole numbers.
LONGEST, DEEPEST = 1 << 20, 16
WHOLE = range(-(2**63), 2**63)
# Line breaks and tabs are in prose; no other control character is.
ALLOWED = {"\n", "\r", "\t"}
# Names with dots between them, whose tables would take memory by the square of their number.
DOTTED = re.compile(rf"(?<![\w\-\"'])(?:[\w\-\"']++\s*+\.\s*+){{{DEEPEST}}}")
Place = tuple[str | int, ...]


def text_at(path: Path) -> str:
    """The text of a study file; InputError where there is none."""
    refusal = f"expected a study file at {path}"
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{refusal}: it is no regular file; name a TOML file")
        if path.stat().st_size > LONGEST:
            raise InputError(f"{refusal}: it has more than {LONGEST:,} bytes; name a TOML file")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{refusal}: it is not UTF-8 text; check the path") from None
    except (OSError, ValueError) as reason:
        if isinstance(reason, InputError):
            raise
        detail = reason.strerror if isinstance(reason, OSError) else str(reason)
        raise InputError(f"{refusal}: {detail}; check the path") from None


def document_of(text: str, name: str) -> Mapping[str, object]:
    """The tables of a study file. name: of the file, for the messages."""
    try:
        if DOTTED.search(text):
            raise RecursionError
        document = tomllib.loads(text)
    except RecursionError:
        raise InputError(
            f"{name} has more than {DEEPEST} tables or arrays in each other; see docs/studies.md"
        ) from None
    except ValueError as reason:
        known = isinstance(reason, tomllib.TOMLDecodeError)
        detail = clean_label(str(reason), 200) if known else "it has a number of thousands of digits"
        raise InputError(f"{name} is not TOML: {detail}; see docs/studies.md") from None
    _require_plain(document, text, name, ())
    return document


def wrong(text: str, name: str, sentence: str, place: Place) -> InputError:
    """The error that says what is wrong, and on which line of the text."""
    line = line_of(text, *place)
    return InputError(f"{name}{f', line {line}' if line else ''}: {sentence}")


def _require_plain(value: object, text: str, name: str, place: Place) -> None:
    """Raise InputError for the first value that no key of a study can have."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _require_plain(key, text, name, (*place, key))
            _require_plain(part, text, name, (*place, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _require_plain(part, text, name, (*place, number))
    if problem := _problem(value, len(place)):
        raise wrong(text, name, problem, place)


def _problem(value: object, depth: int) -> str | None:
    """Why a study cannot have a value, whatever its key."""
    if depth > DEEPEST:
        return f"expected at most {DEEPEST} tables or arrays in each other, got more"
    if isinstance(value, int) and value not in WHOLE:
        return "expected whole numbers of 64 bits, got one of more"
    if isinstance(value, date | time):
        return f"expected numbers, text, arrays and tables, got the date or time {value}; quote it"
    if isinstance(value, str):
        control = next((one for one in value if category(one) == "Cc" and one not in ALLOWED), None)
        return control and f"expected text, got the control character U+{ord(control):04X} in it"
    return None
