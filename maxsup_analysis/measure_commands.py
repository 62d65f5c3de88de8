"""What is done with features: `measure`, `compare`, `figure`, `report`, and the catalogues."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from maxsup_analysis.errors import InputError
from maxsup_analysis.options import (
    AsCsv,
    AsJson,
    Baseline,
    BatchSize,
    Data,
    DataDir,
    Device,
    Group,
    MatchPerClass,
    MetricsFrom,
    Overwrite,
    Runs,
    Split,
    Workers,
    batch_of,
    one_format,
    one_of,
)


def measure(
    source: Annotated[
        Path,
        typer.Argument(
            help="A feature store, a checkpoint, or .npz, .safetensors, .pt with features and labels "
            "(optionally logits, weight, bias, ids)."
        ),
    ],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    group: Group = None,
    metrics_from: MetricsFrom = None,
    match_per_class: MatchPerClass = None,
    standard_errors: Annotated[bool, typer.Option(help="Standard errors and intervals.")] = True,
    by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="class|decile", help="Instead: one row a class, or ten groups of samples by confidence."
        ),
    ] = None,
    data: Data = None,
    data_dir: DataDir = None,
    split: Split = None,
    batch_size: BatchSize = "256",
    workers: Workers = None,
    device: Device = "auto",
    dask: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="SCHEDULER", help="Sweep over the rows on a Dask cluster: its address or file."),
    ] = None,
) -> None:
    """Metrics with their standard errors; or with --by a table of the classes, or of samples by confidence."""
    from maxsup_analysis.breakdown import Breakdown
    from maxsup_analysis.features import Extraction
    from maxsup_analysis.pipeline import break_down, chosen_metrics, matched, measure_source, open_source
    from maxsup_analysis.spreadsheets import csv_text
    from maxsup_analysis.tables import breakdown_table, measurements_table, show

    one_format(as_json, as_csv)
    if by is not None:
        one_of("--by", by, "class", "decile")
        if group or metrics_from:
            raise InputError(
                f"the columns of --by {by} are always the same; leave --group and --metrics-from out"
            )
    how = Extraction(
        data=data,
        data_dir=data_dir,
        split=split,
        batch_size=batch_of(batch_size),
        device=device,
        workers=workers,
    )
    metrics = chosen_metrics(group, metrics_from)
    opened = open_source(source, how, dask=dask)
    if match_per_class is not None:
        opened = matched(opened, match_per_class)
    found = (
        break_down(opened, by)
        if by
        else measure_source(opened, metrics=metrics, standard_errors=standard_errors)
    )
    if as_json:
        print(found.to_json())
    elif as_csv:
        print(csv_text(found.to_frame()), end="")
    else:
        table = breakdown_table(found) if isinstance(found, Breakdown) else measurements_table(found)
        show(table, found.notes)


def compare(
    runs: Runs,
    baseline: Baseline = None,
    group: Group = None,
    metrics_from: MetricsFrom = None,
    match_per_class: MatchPerClass = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Paired differences from a baseline on the same samples, with 95 % intervals."""
    from maxsup_analysis.pipeline import chosen_metrics, compare_named, open_named
    from maxsup_analysis.spreadsheets import csv_text
    from maxsup_analysis.tables import comparison_table, show

    one_format(as_json, as_csv)
    metrics = chosen_metrics(group, metrics_from)
    named = open_named(runs, match_per_class=match_per_class)
    compared = compare_named(named, baseline=baseline, metrics=metrics)
    if as_json:
        print(compared.to_json())
    elif as_csv:
        print(csv_text(compared.to_frame()), end="")
    else:
        show(comparison_table(compared), compared.notes)


def figure(
    kind: Annotated[str, typer.Argument(help="templates, umap, logits, reliability, spectrum or metrics.")],
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png, .svg or .pdf file.")],
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Three labels for `templates`, such as 3,5,8; by default three close ones."),
    ] = None,
    basis: Annotated[str, typer.Option(help="templates (rows of the head) or centroids.")] = "templates",
    center: Annotated[str, typer.Option(help="none or mean.")] = "none",
    max_samples: Annotated[int, typer.Option(help="Points drawn, the same for every run.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of UMAP and of the choice of points.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """One figure of one or several runs; the first run stands for each name, but in `metrics`, which has them all."""
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.pipeline import open_named
    from maxsup_analysis.reporting import FigureRequest, draw_figure

    require_absent(output, overwrite=overwrite)
    request = FigureRequest(kind, classes, basis, center, max_samples, seed)
    draw_figure(open_named(runs), request, output)
    print(output)


def report(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PDF to write.")] = Path("report.pdf"),
    html: Annotated[Optional[Path], typer.Option(help="Also write one self-contained HTML file.")] = None,  # noqa: UP045
    baseline: Baseline = None,
    group: Group = None,
    metrics_from: MetricsFrom = None,
    match_per_class: MatchPerClass = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """A PDF: what was compared, the table with intervals, figures, definitions, provenance."""
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.pipeline import chosen_metrics, open_named
    from maxsup_analysis.reporting import write_report

    if output.suffix != ".pdf":
        raise InputError(f"expected a file ending in .pdf, got {output.name}; change -o")
    for path in [output] + ([html] if html else []):
        require_absent(path, overwrite=overwrite)
    metrics = chosen_metrics(group, metrics_from)
    named = open_named(runs, match_per_class=match_per_class)
    write_report(named, output, html=html, baseline=baseline, metrics=metrics, title=title)
    print(output, *[html] if html else [], sep="\n")


def metrics(
    group: Group = None,
    metrics_from: MetricsFrom = None,
    conventions: Annotated[
        bool, typer.Option("--conventions", help="How variants of a quantity differ, in one table.")
    ] = False,
) -> None:
    """Every metric: formula, convention, source, value at collapse."""
    from maxsup_analysis.catalogue import conventions_of, metrics_text
    from maxsup_analysis.pipeline import chosen_metrics
    from maxsup_analysis.tables import conventions_table, show

    listed = chosen_metrics(group or ["all"], metrics_from)
    if conventions:
        show(conventions_table(conventions_of(listed)), ())
    else:
        print(metrics_text(listed))


def losses() -> None:
    """Every loss: formula and source."""
    from maxsup_analysis.catalogue import losses_text

    print(losses_text())
