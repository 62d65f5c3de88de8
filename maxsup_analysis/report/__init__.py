"""The report: one value, rendered as PDF and as HTML."""

from maxsup_analysis.report.document import Plate, Report
from maxsup_analysis.report.html import render_html
from maxsup_analysis.report.pdf import render_pdf
from maxsup_analysis.report.write_up import comparison_report, single_report

__all__ = ["Plate", "Report", "comparison_report", "render_html", "render_pdf", "single_report"]
