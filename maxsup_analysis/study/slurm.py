"""The cells of a study as jobs of a Slurm cluster, one each, through submitit."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maxsup_analysis.errors import InputError
from maxsup_analysis.progress import say
from maxsup_analysis.study.cell_run import Job, Outcome, record_failure, run_job
from maxsup_analysis.study.running import missing

LOOK = 5.0  # seconds between looks at the jobs


def run_on_slurm(
    jobs: Sequence[Job],
    parameters: Mapping[str, object],
    logs: Path,
    device: str,
    *,
    cluster: str | None = None,
) -> Mapping[str, str]:
    """Submit what is missing, wait for it; cell name -> why it failed, for those that did.

    parameters: of submitit, such as slurm_partition, gpus_per_node, timeout_min.
    cluster: submitit's name of it; by default Slurm, and processes of this machine where there is none.
    """
    executor = _executor(logs, parameters, cluster)
    submitted = [(job, executor.submit(run_job, job, device)) for job in missing(jobs)]
    for job, sent in submitted:
        say(f"{job.cell.name} is job {sent.job_id}")
    failures = {}
    try:
        for job, sent in _as_they_end(submitted):
            if failure := _failure(job, sent):
                failures[job.cell.name] = failure
            say(f"{job.cell.name}: {f'failed: {failure}' if failure else 'done'}")
    except BaseException as reason:
        reason.add_note("jobs that were submitted go on; the same command waits for what is still missing")
        raise
    return failures


def _executor(logs: Path, parameters: Mapping[str, object], cluster: str | None) -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        raise InputError("--slurm needs submitit; `pip install 'maxsup-analysis[slurm]'`") from None
    executor = submitit.AutoExecutor(folder=logs / "%j", cluster=cluster)
    try:
        executor.update_parameters(**parameters)
    except (NameError, TypeError, ValueError) as reason:
        raise InputError(f"--slurm: {' '.join(str(reason).split())[:300]}") from None
    return executor


def _as_they_end(submitted: Sequence[tuple[Job, Any]]) -> Any:
    left = list(submitted)
    while left:
        ended = [pair for pair in left if pair[1].done()]
        yield from ended
        left = [pair for pair in left if pair not in ended]
        if left and not ended:
            time.sleep(LOOK)


def _failure(job: Job, sent: Any) -> str | None:
    try:
        outcome: Outcome = sent.result()
    except Exception as reason:  # submitit raises whatever became of the job.
        sentence = " ".join(f"job {sent.job_id}: {reason}".split())[:400]
        record_failure(job.folder, sentence)
        return sentence
    return outcome.failure
