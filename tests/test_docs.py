"""Tests for the documents: what they say is what the program does."""

import csv
import re
from pathlib import Path

import pytest

from maxsup_analysis.catalogue import metrics_markdown
from maxsup_analysis.metrics import METRICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# A value with half of its interval, or with both sides of it, and what that says.
SHOWN = re.compile(r"([\d.]+) (?:± |\(−)([\d.]+)(?:, \+([\d.]+)\))?(?:, (.*))?")
COMMANDS = ("train", "features", "measure", "compare", "figure", "report", "demo", "metrics", "losses")


def test_the_metric_table_is_generated():
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_markdown(), (
        "run: python -m maxsup_analysis.catalogue > docs/metrics.md"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_shows_every_command(command: str):
    assert f"maxsup-analyze {command}" in README


def test_the_readme_shows_the_numbers_of_the_committed_report():
    with (ROOT / "reports" / "digits" / "comparison.csv").open() as file:
        rows = {(row["metric"], row["name"]): row for row in csv.DictReader(file)}
    shown = [line.split("|")[1:-1] for line in README.splitlines() if line.startswith("| `")]
    assert len(shown) >= 6
    for name, *cells in shown:
        metric = name.strip(" `")
        assert metric in METRICS
        for run, cell in zip(("CE", "LS", "MaxSup"), cells, strict=True):
            value, below, above, verdict = SHOWN.fullmatch(cell.strip()).groups()  # type: ignore[union-attr]
            row = rows[metric, run]
            middle, low, high = (float(row[name]) for name in ("value", "low", "high"))
            gaps = (below, above) if above else ((below,) * 2)
            for said, true in zip((value, *gaps), (middle, middle - low, high - middle), strict=True):
                assert float(said) == pytest.approx(true, abs=0.6 * 10 ** -len(said.split(".")[1]))
            assert verdict == (None if row["verdict"] == "baseline" else row["verdict"])


def test_what_the_documents_link_to_is_there():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in document.read_text().split("](")[1:]:
            place = target.split(")")[0].partition("#")[0]
            assert place.startswith("http") or (document.parent / place).exists(), f"{document.name}: {place}"
