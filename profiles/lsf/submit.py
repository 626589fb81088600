#!/usr/bin/env python3
"""Submit a job to LSF, and print its id."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import Job, option, run, submit


def bsub(job: Job, logs: Path) -> list[str]:
    """The call of bsub: all on one host, with SIGTERM in time to save."""
    memory = None if job.memory_mb is None else f"rusage[mem={job.memory_mb}MB]"
    model = f":gmodel={job.gpu_model}" if job.gpu_model else ""
    gpus = f"num={job.gpus}:j_exclusive=yes{model}" if job.gpus else None
    limit = None if job.minutes is None else str(job.minutes)
    site = [*option("-q", job.queue), *option("-P", job.account), *option("-U", job.reservation), *job.options]
    # -r lets LSF start a job again whose host failed.
    general = ["-J", job.name, "-r", "-o", f"{logs}/%J.log", "-n", str(job.threads), "-R", "span[hosts=1]"]
    return ["bsub", *general, *option("-R", memory), *option("-gpu", gpus), *option("-W", limit), *signal(job), *site]


def signal(job: Job) -> list[str]:
    """Whole minutes before the limit at which LSF sends SIGTERM; nothing where no limit is longer than that."""
    lead = max(1, -(-job.save_seconds // 60))
    return [] if job.minutes is not None and job.minutes <= lead else ["-wt", str(lead), "-wa", "TERM"]


if __name__ == "__main__":
    run(submit, bsub, "LSB_JOBID", r"Job <(\d+)>")
