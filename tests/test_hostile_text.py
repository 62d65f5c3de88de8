"""Tests for names from strangers: in every output they stay legible, and nothing of them acts."""

import csv
import io
import json
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from maxsup_analysis import Comparison, compare
from maxsup_analysis.breakdown import by_class
from maxsup_analysis.comparison import Difference
from maxsup_analysis.figures.metrics import comparison_rows, interval_rows_figure
from maxsup_analysis.figures.style import svg_of
from maxsup_analysis.labels import clean_file_name, clean_label, own_file_name, well_formed
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.progress import CONSOLE, say
from maxsup_analysis.report import Plate, render_html, render_pdf
from maxsup_analysis.report.document import Bullets, Paragraph, Report, Section, Table
from maxsup_analysis.spreadsheets import csv_text
from maxsup_analysis.tables import breakdown_table, comparison_table
from tests.clouds import cloud

# Each has the letters `mark` in it, which have to be seen.
HOSTILE = (
    "mark\x1b[31mred", "mark\x1b]0;title\x07", "mark\x1b[2J", "mark\x9b31m", "mark\rover", "mark\nline",
    "mark\ttab", "\x00mark", "mark\x08\x08", "mark\x7f", "mark\x0b\x0c", "mark\u2028line", "mark\u2029line",
    "mark\x85", "\u202emark", "mark\u202dx\u202c", "mark\u2066x\u2069", "mark\u200bzero", "mark\u200d",
    "mark\ufeff", "mark\u00ad", "mark\u061c", "mark\ud800", "mark\udfff", "mark\ue000", "mark\U000e0041",
    "mark\U0010ffff", "mark\u3164", "mark\u2800", "mark\u034f", "=mark|' /C calc'!A0", "+mark", "-mark", "@mark",
    "=1+mark", "\t=mark", "\r=mark", " =mark", "\uff1dmark", "=HYPERLINK(mark)", "<b>mark</b>",
    "<script>mark</script>", "mark\" onload=x", "mark'><img src=x>", "&lt;mark", "mark&#x202e;", "<!--mark",
    "]]>mark", "[red]mark[/red]", "[link=file:///]mark", "[/mark", "\\[mark", "#mark[x]", "#import mark", "$mark$",
    "*mark*", "mark_under^x", "`mark`", "@mark:label", "//mark", "\\input{mark}", "\\mark%~&", "../../mark",
    "/etc/mark", "mark/../..", "C:\\mark", "%smark{}", "mark,a", 'mark"a', "mark;=1+1", "marké",
    "mark x\u0301\u0301", "mark" * 200,
)  # fmt: skip
SHOWN = {"alt", "src"}
ARABIC = "\u0639mark"  # letters from right to left are letters


def acts(text: str) -> list[str]:
    """Characters that hide, reorder or move."""
    return [one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


@pytest.fixture(scope="module")
def compared() -> Comparison:
    """A comparison of runs that have these names."""
    data = cloud(3, 4, [12, 12, 12])
    one = data.measured("accuracy", "d_within")
    return compare(dict.fromkeys(HOSTILE, (one,)))


def test_there_are_enough():
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60 and all("mark" in name for name in HOSTILE)


@pytest.mark.parametrize("name", [*HOSTILE, ARABIC])
def test_labels_are_legible_and_on_one_line(name: str):
    label = clean_label(name)
    assert "mark" in label and not acts(label) and 0 < len(label) <= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_parts_of_file_names_lead_nowhere(name: str):
    for cleaned in (clean_file_name(name, "+.,="), own_file_name(name, "+.")):
        assert "mark" in cleaned and "/" not in cleaned and "\\" not in cleaned and not acts(cleaned)
        assert len(f"{cleaned}.influences.safetensors".encode()) <= 255


def test_files_of_different_names_are_different_files(tmp_path: Path):
    names = {own_file_name(name, "+.") for name in HOSTILE}
    assert len(names) == len(HOSTILE)
    assert own_file_name("transfer digits") == "transfer-digits" and own_file_name("test") == "test"
    for name in names | {
        own_file_name("\u4e2d" * 300, limit=200),
        own_file_name("..", "."),
        own_file_name(""),
    }:
        (tmp_path / f"{name}.measured.json").touch()
    assert len(list(tmp_path.iterdir())) == len(HOSTILE) + 3


def test_csv_holds_no_formula_and_no_control(compared: Comparison):
    rows = list(csv.reader(io.StringIO(csv_text(compared.to_frame()))))
    assert len(rows) == 1 + 2 * len(HOSTILE)
    names = [row[1] for row in rows[1:]]
    assert all("mark" in name for name in names)
    for cell in (cell for row in rows for cell in row):
        assert not acts(cell)
        if cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")):
            float(cell)  # a number, which is none of a stranger's


def test_numbers_in_csv_are_the_same_numbers(compared: Comparison):
    frame = compared.to_frame()
    read = csv.DictReader(io.StringIO(csv_text(frame)))
    assert [float(row["value"]) for row in read] == frame["value"].tolist()


def test_terminals_show_names_and_obey_none(compared: Comparison, capsys: pytest.CaptureFixture[str]):
    page = io.StringIO()
    console = Console(file=page, width=4000, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(comparison_table(compared))
    words = page.getvalue()
    for style in ("\x1b[1m", "\x1b[0m", "\x1b[3m", "\x1b[1;35m"):
        words = words.replace(style, "")
    assert not acts(words.replace("\n", ""))
    assert "[red]mark[/red]" in words and "[link=file:///]mark" in words
    for name in HOSTILE:
        say(name)
    with CONSOLE.capture() as said:
        say("\x1b[31mmark\nmark")
    assert said.get() == "\ufffd[31mmark\ufffdmark\n"


def test_classes_are_shown_in_tables():
    count = len(HOSTILE)
    labels = np.repeat(np.arange(count), 3)
    features = np.random.default_rng(0).normal(size=(len(labels), 4))
    found = by_class(represent_arrays(features, labels, class_names=HOSTILE))
    page = io.StringIO()
    Console(file=page, width=400).print(breakdown_table(found))
    assert page.getvalue().count("mark") >= count and not acts(page.getvalue().replace("\n", ""))
    assert not any(acts(cell) for row in csv.reader(io.StringIO(csv_text(found.to_frame()))) for cell in row)


def test_json_is_exact_and_plain_ascii(compared: Comparison):
    text = compared.to_json()
    assert text.isascii() and set(json.loads(text)["runs"]) == set(map(well_formed, HOSTILE))


def report_of(names: tuple[str, ...]) -> Report:
    rows = [[name, name] for name in names]
    blocks = [Paragraph(names[0]), Bullets(names), Table(names[1], ["name", names[2]], rows)]
    return Report(names[3], names[4], [Section(names[5], [*blocks, Plate(b"", names[6])])])


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {
            "lang",
            "charset",
            "content",
            "name",
            "http-equiv",
            "class",
            "alt",
            "src",
        }

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_html_shows_names_as_text():
    page = Page()
    page.feed(render_html(report_of(HOSTILE)))
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "div", "table", "caption",
        "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
    }  # fmt: skip
    words = "".join(page.words)
    assert words.count("mark") >= 3 * len(HOSTILE) and not acts(words.replace("\n", ""))


def test_pdf_shows_names_as_text():
    pypdf = pytest.importorskip("pypdf")
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(report_of(HOSTILE))))
    words = "".join(page.extract_text() for page in reader.pages)
    for name in ("<b>mark</b>", "#import mark", "$mark$", "*mark*", "\\input{mark}", "=mark|"):
        assert name in words
    assert not any(
        "/A" in (one.get_object() or {}) for page in reader.pages for one in page.get("/Annots", [])
    )


def test_figures_are_drawings_without_a_script(compared: Comparison):
    few = {name: compared.levels["d_within"][name] for name in HOSTILE[:8]}
    assert isinstance(compared.differences[0], Difference) and len(few) == 8
    figure = interval_rows_figure(comparison_rows(compared)[:1])
    for item in figure.axes:
        item.set_title("mark\x1b[31m\nmark\u202e<script>")
    drawing = svg_of(figure)
    kinds = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing.decode()).iter()}
    assert not kinds & {"script", "a", "foreignObject", "image"}
    assert figure.axes[0].get_title() == "mark\ufffd[31m\nmark\ufffd<script>"
