"""The command of scripted ablations. The rest is imported inside it."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from maxsup_analysis.options import Output


def ablate(
    study: Annotated[Path, typer.Argument(help="A TOML file; docs/studies.md describes it.")],
    output: Output = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, or several: cuda:0,cuda:1.", metavar="NAME[,NAME...]")
    ] = "auto",
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--jobs",
            "-j",
            help="Runs at a time on each device; by default what a CPU has room for, one a GPU.",
        ),
    ] = None,
    slurm: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="KEY=VALUE[,...]",
            help="One Slurm job a run, through submitit, with these parameters: slurm_partition=gpu,timeout_min=600.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say the runs, what is done, time and disk; write nothing.")
    ] = False,
) -> None:
    """Train what is missing of a study, measure, compare, and write its report.

    Everything goes into one folder, beside the study's file unless -o says otherwise. Interrupted or killed, the same
    command goes on. Exit code 1: some runs failed; the report is of the others.
    """
    from maxsup_analysis.options import arguments
    from maxsup_analysis.study.asking import require_data
    from maxsup_analysis.study.publishing import publish
    from maxsup_analysis.study.reading import read_study
    from maxsup_analysis.study.running import StudyFolder, run_cells, saying_what_is_kept, slots_of
    from maxsup_analysis.study.tables import study_table
    from maxsup_analysis.tables import show

    folder = StudyFolder(read_study(study), output or study.with_suffix(""))
    require_data(folder.study)
    slots = slots_of(device, jobs, folder.study)
    if dry_run:
        from maxsup_analysis.study.rehearsal import rehearse

        print(rehearse(folder, slots).to_text())
        return
    folder.prepare(study.read_text(encoding="utf-8"))
    with saying_what_is_kept(folder.jobs):
        if slurm is not None:
            from maxsup_analysis.study.slurm import run_on_slurm

            failures = run_on_slurm(folder.jobs, arguments("--slurm", slurm), folder.path / "slurm", device)
        else:
            failures = run_cells(folder.jobs, slots)
        results = publish(folder)
    show(study_table(results), [f"{name} failed: {reason}" for name, reason in failures.items()])
    print(folder.path / "report.pdf")
    if failures:
        raise typer.Exit(1)
