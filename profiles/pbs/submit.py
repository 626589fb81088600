#!/usr/bin/env python3
"""Submit a job to PBS Pro or OpenPBS, and print its id."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import Job, run, submit

NAME = 15  # characters that every version of PBS takes


def qsub(job: Job, logs: Path) -> list[str]:
    """The call of qsub: one chunk, and so one node, since a job's GPUs must be on one."""
    chunk = [f"select=1:ncpus={job.threads}"]
    chunk += [f"ngpus={job.gpus}"] if job.gpus else []
    chunk += [f"mem={job.memory_mb}mb"] if job.memory_mb is not None else []
    chunk += [job.site["pbs_select"]] if "pbs_select" in job.site else []
    limit = [] if job.minutes is None else ["-l", f"walltime={job.minutes // 60:02}:{job.minutes % 60:02}:00"]
    site = [*job.option("-q", "queue"), *job.option("-A", "account"), *job.further]
    # -V hands the environment on, -r y lets PBS start a job again whose node failed.
    general = ["-N", job.name[:NAME], "-V", "-r", "y", "-j", "oe", "-o", f"{logs}/"]
    return ["qsub", *general, "-l", ":".join(chunk), *limit, *site]


if __name__ == "__main__":
    run(submit, qsub, "PBS_JOBID", r"(?m)^(\d\S*)$")
