#!/usr/bin/env python3
"""Submit a job to LSF, and print its id."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import Job, run, submit


def bsub(job: Job, logs: Path) -> list[str]:
    """The call of bsub: all on one host, with SIGTERM in time to save."""
    memory = [] if job.memory_mb is None else ["-R", f"rusage[mem={job.memory_mb}MB]"]
    model = f":gmodel={job.site['gpu_model']}" if "gpu_model" in job.site else ""
    gpus = ["-gpu", f"num={job.gpus}:j_exclusive=yes{model}"] if job.gpus else []
    limit = [] if job.minutes is None else ["-W", str(job.minutes)]
    lead = max(1, -(-job.save_seconds // 60))
    signal = [] if job.minutes is not None and job.minutes <= lead else ["-wt", str(lead), "-wa", "TERM"]
    site = [*job.option("-q", "queue"), *job.option("-P", "account"), *job.further]
    # -r lets LSF start a job again whose host failed.
    general = ["-J", job.name, "-r", "-o", f"{logs}/%J.log", "-n", str(job.threads), "-R", "span[hosts=1]"]
    return ["bsub", *general, *memory, *gpus, *limit, *signal, *site]


if __name__ == "__main__":
    run(submit, bsub, "LSB_JOBID", r"Job <(\d+)>")
