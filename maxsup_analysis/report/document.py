"""A report as a value: what the PDF and the HTML both show."""

from collections.abc import Sequence
from dataclasses import dataclass

from maxsup_analysis.labels import clean_label

TEXT_LIMIT = 400


@dataclass(frozen=True)
class Paragraph:
    """A run of prose."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Short statements."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of text under column titles. A row with one cell is a heading within the table."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plate:
    """A figure as SVG; without one, its caption says why."""

    svg: bytes
    caption: str


@dataclass(frozen=True)
class Definition:
    """One metric, defined. The formula is Typst mathematics."""

    label: str
    name: str
    formula: str
    text: str


@dataclass(frozen=True)
class Definitions:
    """A list of definitions."""

    entries: Sequence[Definition]


Block = Paragraph | Bullets | Table | Plate | Definitions


@dataclass(frozen=True)
class Section:
    """A titled part of a report."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A title, what it is about in one line, and sections."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def shown(text: str) -> str:
    """Text from anywhere, made fit to be shown."""
    return clean_label(text, TEXT_LIMIT)
