"""From opened runs to figures and a report on disk."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from maxsup_analysis.comparison import Comparison
from maxsup_analysis.errors import InputError
from maxsup_analysis.figures import FIGURES, FigureOptions, require_suffix, save, svg_of
from maxsup_analysis.figures.metrics import comparison_rows, interval_rows_figure
from maxsup_analysis.files import whole_file
from maxsup_analysis.metrics import Metric
from maxsup_analysis.pipeline import Source, compare_named, measure_source
from maxsup_analysis.progress import track
from maxsup_analysis.projection import Basis, Center
from maxsup_analysis.report import Plate, comparison_report, render_html, render_pdf, single_report
from maxsup_analysis.representation import Representation

FIRST_RUN = " The first run of each name is shown."


@dataclass(frozen=True)
class FigureRequest:
    """A figure as asked for on the command line."""

    kind: str
    classes: str | None
    basis: str
    center: str
    max_samples: int
    seed: int

    def options(self) -> FigureOptions:
        """The same, once every word is one that is known."""
        for flag, value, known in (("--basis", self.basis, Basis), ("--center", self.center, Center)):
            if value not in get_args(known):
                raise InputError(f"expected {flag} {' or '.join(get_args(known))}, got {value!r}")
        if self.max_samples < 1:
            raise InputError(f"expected --max-samples above 0, got {self.max_samples}")
        return FigureOptions(
            self._classes(),
            self.basis,  # type: ignore[arg-type]
            self.center,  # type: ignore[arg-type]
            self.max_samples,
            self.seed,
        )

    def _classes(self) -> tuple[int, ...] | None:
        if self.classes is None:
            return None
        try:
            return tuple(int(label) for label in self.classes.split(","))
        except ValueError:
            raise InputError(
                f"expected --classes as three labels such as 3,5,8, got {self.classes!r}"
            ) from None


def draw_figure(named: Mapping[str, Sequence[Source]], request: FigureRequest, output: Path) -> None:
    """Draw one kind of figure and save it: of the first run of each name, but `metrics` of all of them."""
    kind, options = FIGURES[request.kind], request.options()
    require_suffix(output)
    if request.kind == "metrics" and len(named) > 1 and _are_several(named):
        figure = interval_rows_figure(comparison_rows(compare_named(named)))
    else:
        figure = kind.draw(_firsts(named), options)
    save(figure, output)


def write_report(
    named: Mapping[str, Sequence[Source]],
    output: Path,
    *,
    html: Path | None = None,
    baseline: str | None = None,
    metrics: Sequence[Metric] | None = None,
    title: str = "",
    compared: Comparison | None = None,
) -> None:
    """A PDF, and HTML where asked for, of one run or of a comparison.

    compared: the comparison of these runs where it is at hand, so that nothing is measured twice.
    """
    sources = [source for group in named.values() for source in group]
    if len(sources) == 1:
        plates = _plates(named, None)
        report = single_report(measure_source(sources[0], metrics=metrics), plates, title=title)
    else:
        compared = compared or compare_named(named, baseline=baseline, metrics=metrics)
        report = comparison_report(compared, _plates(named, compared), title=title)
    # Both or neither.
    pdf, page = render_pdf(report), render_html(report) if html else ""
    with whole_file(output) as partial, whole_file(html) if html else nullcontext() as other:
        partial.write_bytes(pdf)
        if other is not None:
            other.write_text(page, encoding="utf-8")


def _plates(named: Mapping[str, Sequence[Source]], compared: Comparison | None) -> list[Plate]:
    """The figures of a report; where the data cannot have one, the reason stands in its place."""
    several, plates = _are_several(named), []
    for name, kind in track(FIGURES.items(), len(FIGURES), "drawing"):
        if name == "metrics" and compared is not None:
            figure, caption = interval_rows_figure(comparison_rows(compared)), kind.caption
            caption += " Means over the runs of a name; intervals hold samples and, with several runs, seeds."
        else:
            caption = kind.caption + FIRST_RUN * several
            try:
                figure = kind.draw(_firsts(named), FigureOptions())
            except InputError as reason:
                plates.append(Plate(b"", f"No figure of {name}: {reason}."))
                continue
        plates.append(Plate(svg_of(figure), caption))
    return plates


def _are_several(named: Mapping[str, Sequence[Source]]) -> bool:
    """Whether a name has more than one run."""
    return any(len(group) > 1 for group in named.values())


def _firsts(named: Mapping[str, Sequence[Source]]) -> dict[str, Representation]:
    return {name: group[0].representation for name, group in named.items()}
