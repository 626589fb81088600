"""Snakemake's retries, by how a job ended. Loaded while the DAG is planned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.jobs import Job

from common.jobs.attempts import name_run, tries_left


def retry_by_kind() -> None:
    """Have Snakemake ask whether a failed job is tried again; it only counts.

    A rule with `retries: 0` is never tried again. Jobs of other workflows, which leave no record of their attempts, are
    counted as before.
    """
    name_run()
    if not hasattr(Job.restart_times, "by_kind"):
        Job.restart_times = _ByKind(Job.restart_times.fget)


class _ByKind(property):
    """Snakemake's property `restart_times`: a job is tried again while it is larger than its number of attempts - 1."""

    by_kind = True

    def __init__(self, counted: Callable[[Any], int]):
        super().__init__(lambda job: _restart_times(job, counted(job)))


def _restart_times(job: Any, retries: int) -> int:
    if not retries or not job.log:
        return retries
    again = tries_left(Path(str(job.log[0])), job.attempt, retries, resumes=hasattr(job.params, "scratch"))
    return int(job.attempt) if again else 0
