"""The results of a study on disk: tables, figures, report."""

from maxsup_analysis.errors import InputError
from maxsup_analysis.figures import FIGURES, FigureOptions, save, svg_of
from maxsup_analysis.files import refusing_to_write, whole_file, write_durably
from maxsup_analysis.pipeline import open_source
from maxsup_analysis.progress import track
from maxsup_analysis.report import Plate, render_html, render_pdf
from maxsup_analysis.representation import Representation
from maxsup_analysis.spreadsheets import csv_text
from maxsup_analysis.study.asking import features_of
from maxsup_analysis.study.drawing import study_figures
from maxsup_analysis.study.results import Results, results_of
from maxsup_analysis.study.running import StudyFolder
from maxsup_analysis.study.write_up import MOST_COLUMNS, combination_name, study_report

TABLES = ("cells", "means", "effects", "interactions")
# Figures of single runs; those of metrics are the study's own.
OF_RUNS = tuple(name for name in FIGURES if name != "metrics")


def publish(folder: StudyFolder) -> Results:
    """Write cells.csv, means.csv, effects.csv, interactions.csv, the figures, report.pdf and report.html.

    InputError where no cell has been measured yet.
    """
    results = results_of(folder.study, folder.jobs)
    if not results.designs:
        raise InputError(f"no cell in {folder.path} has been measured, so that there is nothing to report")
    frames = (
        results.cell_table(), results.mean_table(), results.effect_table(), results.interaction_table(),
    )  # fmt: skip
    with refusing_to_write(folder.path, "make room, then go on with the same command"):
        for name, frame in zip(TABLES, frames, strict=True):
            if len(frame):
                write_durably(folder.path / f"{name}.csv", csv_text(frame, index=False).encode())
        report = study_report(results, _plates(folder, results))
        with whole_file(folder.path / "report.pdf") as partial:
            partial.write_bytes(render_pdf(report))
        with whole_file(folder.path / "report.html") as partial:
            partial.write_text(render_html(report), encoding="utf-8")
    return results


def _plates(folder: StudyFolder, results: Results) -> list[Plate]:
    plates = []
    for name, caption, figure in study_figures(results):
        save(figure, folder.path / name)
        plates.append(Plate(svg_of(figure), caption))
    return [*plates, *_plates_of_runs(folder)]


def _plates_of_runs(folder: StudyFolder) -> list[Plate]:
    """The features of one run of each combination, on the first split."""
    shown = _representations(folder)
    if not 1 <= len(shown) <= MOST_COLUMNS:
        return []
    plates = []
    for name in track(OF_RUNS, len(OF_RUNS), "drawing"):
        kind = FIGURES[name]
        try:
            figure = kind.draw(shown, FigureOptions())
        except InputError as reason:
            plates.append(Plate(b"", f"No figure of {name}: {reason}."))
            continue
        plates.append(Plate(svg_of(figure), f"{kind.caption} The first run of each name is shown."))
    return plates


def _representations(folder: StudyFolder) -> dict[str, Representation]:
    """The first run of each combination whose features are there."""
    split, found = folder.study.measure.splits[0], {}
    for job in folder.jobs:
        name = combination_name(job.cell.combination, folder.study.varied)
        store = features_of(job.folder, split)
        if name not in found and store.is_dir():
            found[name] = open_source(store).representation
    return found
