"""A report as one self-contained HTML file: no script, nothing fetched, every string escaped."""

import base64
from importlib import resources

import jinja2

from maxsup_analysis.report.document import Report, cleaned


def render_html(report: Report) -> str:
    """The page."""
    template = (resources.files("maxsup_analysis.report") / "template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.from_string(template).render(report=cleaned(report))
