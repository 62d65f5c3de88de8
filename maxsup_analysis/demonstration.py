"""All of it on embedded data: the same calls that the commands make, one after the other."""

from pathlib import Path

from maxsup_analysis.comparison import Comparison
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.files import require_absent, whole_folder
from maxsup_analysis.pipeline import Source, compare_named, open_named
from maxsup_analysis.progress import say
from maxsup_analysis.reporting import FigureRequest, draw_figure, write_report
from maxsup_analysis.spreadsheets import csv_text
from maxsup_analysis.training import TrainingPlan, train

LOSS_NAMES = ("ce", "ls", "maxsup")
FIGURE_FILES = ("metrics.svg", "templates.svg")
MARK = "comparison.json"
TITLE = "CE, LS and MaxSup on handwritten digits"


def demonstrate(output: Path, *, seeds: int, epochs: int, overwrite: bool) -> Comparison:
    """Train CE, LS and MaxSup on the digits, extract, compare, and write report, table and figures."""
    require_absent(output, overwrite=overwrite)
    if output.exists() and not (output / MARK).is_file():
        raise InputError(
            f"{output} was not written by the demo and is not overwritten; choose another with -o"
        )
    if seeds < 1:
        raise InputError(f"expected --seeds above 0, got {seeds}")
    with whole_folder(output) as folder:
        for seed in range(seeds):
            for loss in LOSS_NAMES:
                _run(folder, TrainingPlan(loss=loss, seed=seed, epochs=epochs), output)
        say(f"$ maxsup-analyze compare {output}/runs")
        named = open_named([str(folder / "runs")])
        compared = compare_named(named)
        (folder / MARK).write_text(compared.to_json() + "\n")
        (folder / "comparison.csv").write_text(csv_text(compared.to_frame()), encoding="utf-8")
        _write(folder, named, compared, output)
    return compared


def _run(folder: Path, plan: TrainingPlan, output: Path) -> None:
    name = f"runs/{plan.loss}-{plan.seed}.pt"
    say(
        f"$ maxsup-analyze train --loss {plan.loss} --seed {plan.seed} --epochs {plan.epochs} -o {output}/{name}"
    )
    train(plan, folder / name)
    say(f"$ maxsup-analyze features {output}/{name}")
    extract_features(folder / name, None, Extraction())


def _write(folder: Path, named: dict[str, list[Source]], compared: Comparison, output: Path) -> None:
    for name in FIGURE_FILES:
        kind = name.removesuffix(".svg")
        say(f"$ maxsup-analyze figure {kind} {output}/runs -o {output}/{name}")
        draw_figure(named, FigureRequest(kind, None, "templates", "none", 2000, 0), folder / name)
    say(f"$ maxsup-analyze report {output}/runs -o {output}/report.pdf --html {output}/report.html")
    write_report(named, folder / "report.pdf", html=folder / "report.html", title=TITLE, compared=compared)
