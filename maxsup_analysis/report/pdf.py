"""A report as PDF, through Typst. Its strings travel as data, so that none of them is ever markup."""

import datetime
import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import typst

from maxsup_analysis.errors import InputError
from maxsup_analysis.leftovers import scratch_folder
from maxsup_analysis.report.document import Block, Plate, Report, cleaned

# A fixed date: the same report gives the same bytes.
UNDATED = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def render_pdf(report: Report) -> bytes:
    """The PDF's bytes."""
    template = resources.files("maxsup_analysis.report") / "template.typ"
    with scratch_folder() as root:
        (root / "report.typ").write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
        report = cleaned(report)
        document = {"title": report.title, "subtitle": report.subtitle, "sections": []}
        for section in report.sections:
            blocks = [_block(block, root) for block in section.blocks]
            document["sections"].append({"title": section.title, "blocks": blocks})  # type: ignore[union-attr]
        (root / "report.json").write_text(json.dumps(document), encoding="utf-8")
        try:
            output = typst.compile(
                str(root / "report.typ"),
                root=str(root),
                format="pdf",
                ignore_system_fonts=True,
                timestamp=UNDATED,
            )
        except typst.TypstError as reason:
            raise InputError(
                f"the report cannot be typeset: {reason}; a formula has to be in Typst's notation, as "
                "docs/your-own-metrics.md shows"
            ) from reason
    assert isinstance(output, bytes)
    return output


def _block(block: Block, root: Path) -> dict[str, object]:
    """A block as plain values; a figure becomes a file that is named."""
    kind = type(block).__name__
    if isinstance(block, Plate):
        name = f"figure-{len(list(root.glob('figure-*')))}.svg"
        if block.svg:
            (root / name).write_bytes(block.svg)
        return {"kind": kind, "file": name if block.svg else None, "caption": block.caption}
    return {"kind": kind, **asdict(block)}
