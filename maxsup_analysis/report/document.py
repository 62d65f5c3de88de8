"""A report as a value: what the PDF and the HTML both show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from maxsup_analysis.labels import clean_label

TEXT_LIMIT = 400
# Letters of a text of a report, whatever it is.
LONGEST = 10_000


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


def cleaned(report: Report) -> Report:
    """The same with every text fit to be shown, whoever wrote it; formulas and figures are ours."""
    return replace(
        report,
        title=_clean(report.title),
        subtitle=_clean(report.subtitle),
        sections=[
            Section(_clean(section.title), [_clean_block(block) for block in section.blocks])
            for section in report.sections
        ],
    )


def _clean(text: str) -> str:
    return clean_label(text, LONGEST)


def _clean_block(block: Block) -> Block:
    if isinstance(block, Paragraph):
        return Paragraph(_clean(block.text))
    if isinstance(block, Bullets):
        return Bullets(list(map(_clean, block.items)))
    if isinstance(block, Plate):
        return Plate(block.svg, _clean(block.caption))
    if isinstance(block, Table):
        rows = [list(map(_clean, row)) for row in block.rows]
        return Table(_clean(block.caption), list(map(_clean, block.columns)), rows)
    return Definitions(
        [
            replace(one, label=_clean(one.label), name=_clean(one.name), text=_clean(one.text))
            for one in block.entries
        ]
    )


def shown(text: str) -> str:
    """Text from anywhere, made fit to be shown."""
    return clean_label(text, TEXT_LIMIT)
