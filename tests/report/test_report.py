"""Tests for the report: everything is in it, the same bytes each time, and no string of a user's is markup."""

import io
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pypdf
import pytest

from maxsup_analysis import measure
from maxsup_analysis.comparison import compare
from maxsup_analysis.errors import InputError
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.metrics.groups import groups
from maxsup_analysis.report import Plate, comparison_report, render_html, render_pdf, single_report
from maxsup_analysis.report.document import Definition, Definitions, Section
from maxsup_analysis.rounding import plain
from tests.clouds import cloud

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><rect width="90" height="30"/></svg>'
PLATES = [Plate(SVG, "A figure."), Plate(b"", "No figure of umap: too few samples.")]
HOSTILE = [
    "#import \"x\"", "$\\frac{$", "</script><img src=x onerror=alert(1)>", "{{7*7}}", "*bold* _x_ <label> @ref",
    "a\nb\x00c\x1b[31m", "\udcff", "\u202eevil", "x" * 5000, "=1+1", "'\"><svg onload=alert(1)>", "\\", "[", "]",
]  # fmt: skip


def report(*names: str):
    """Of runs on the same samples, whose features differ a little."""
    features, *rest = cloud(4, 6, [9] * 4).arrays
    noise = np.random.default_rng(0).normal(size=(len(names), *features.shape)) / 10
    runs = {name: [measure(features + part, *rest)] for name, part in zip(names, noise, strict=True)}
    return comparison_report(compare(runs), PLATES, title=names[-1])


def text_of(pdf: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).replace("\u200b", "").split())


class Shape(HTMLParser):
    """The elements and attributes of a page, without its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


def test_the_pdf_says_it_all():
    pdf = render_pdf(report("CE", "LS", "Our run"))
    text = text_of(pdf)
    assert pdf.startswith(b"%PDF") and "Our run" in text and "not distinguishable" in text
    assert "one run only of CE, LS, Our run" in text.replace("One", "one")
    for name in groups()["standard"]:
        assert name.split("_")[0] in text
        # What is measured on some samples too is defined once.
        assert METRICS[name].label in text or METRICS[name].subset != "all"
    assert "too few samples" in text


def test_every_formula_is_one_that_typst_knows():
    rng = np.random.default_rng(0)
    measured = measure(
        rng.normal(size=(30, 4)), np.arange(30) % 3, weight=rng.normal(size=(3, 4)), groups=("all",)
    )
    text = text_of(render_pdf(single_report(measured, [])))
    assert all(metric.label in text for metric in METRICS.values() if metric.subset == "all")


def test_a_formula_that_typst_does_not_know_is_the_users_to_mend():
    found = report("CE", "LS")
    block = Definitions([Definition("mine", "mine", r"\\frac{1}{2} nonsense", "What it is.")])
    with pytest.raises(
        InputError, match=r"the report cannot be typeset: .*; a formula has to be in Typst's notation"
    ):
        render_pdf(replace(found, sections=[*found.sections, Section("Mine", [block])]))


def test_findings_say_of_how_many_metrics_they_are():
    # Here are 8 of the 27 standard ones.
    assert "Here are 8 of the 27 metrics that the tables have." in text_of(render_pdf(report("CE", "LS")))


def test_the_same_report_gives_the_same_bytes():
    assert render_pdf(report("CE", "LS")) == render_pdf(report("CE", "LS"))
    assert render_html(report("CE", "LS")) == render_html(report("CE", "LS"))


def test_one_run_alone():
    alone = single_report(cloud(4, 6, [9] * 4).measured(), PLATES)
    assert "class_separation" in text_of(render_pdf(alone)) and "class_separation" in render_html(alone)


def test_undefined_is_a_dash_with_its_reason():
    data = cloud(4, 6, [9] * 4)
    from maxsup_analysis import measure

    page = render_html(single_report(measure(data.features, data.labels), []))
    assert (
        "there are neither logits nor a head" in page
        and "nan" not in page.lower().split("<h2>definitions")[0]
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_is_markup(name: str):
    hostile = report("CE", name)
    assert render_pdf(hostile).startswith(b"%PDF")
    page = render_html(hostile)
    assert Shape(page).tags == Shape(render_html(report("CE", "LS"))).tags
    assert "\x1b" not in page and "\u202e" not in page and "\udcff" not in page


def test_the_page_is_self_contained():
    page = render_html(report("CE", "LS"))
    assert (
        "default-src 'none'" in page
        and "http" not in page.replace("http-equiv", "")
        and "<script" not in page
    )


def test_digits_follow_the_interval():
    assert (
        plain(0.123456, 0.0123) == "0.123" and plain(-12.3456, 3.2) == "−12.3" and plain(0.5, 0.0) == "0.5000"
    )
