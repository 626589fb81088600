#!/usr/bin/env python3
"""Submit a job to PBS Pro or OpenPBS, and print its id."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import Job, UserError, option, run, submit

NAME = 15  # characters that every version of PBS takes


def qsub(job: Job, logs: Path) -> list[str]:
    """The call of qsub: one chunk, and so one node, since a job's GPUs must be on one. A reservation is a queue."""
    limit = None if job.minutes is None else f"walltime={job.minutes // 60:02}:{job.minutes % 60:02}:00"
    site = [*option("-q", job.reservation or job.queue), *option("-A", job.account), *job.options]
    # -V hands the environment on, -r y lets PBS start a job again whose node failed.
    general = ["-N", job.name[:NAME], "-V", "-r", "y", "-j", "oe", "-o", f"{logs}/"]
    return ["qsub", *general, "-l", chunk(job), *option("-l", limit), *site]


def chunk(job: Job) -> str:
    """What the job asks for on its node.

    Raises:
        UserError: for a type of GPU, which every site names in its own way.
    """
    parts = [f"select=1:ncpus={job.threads}"]
    if job.gpus:
        if job.gpu_model and not job.gpu_select:
            remedy = "leave it out, and say `gpu_select: gpu_type=a100` in the profile, in your site's words"
            raise UserError("PBS has no name of its own for a type of GPU", "site.gpu.model", remedy)
        parts += [f"ngpus={job.gpus}", *filter(None, [job.gpu_select])]
    parts += [] if job.memory_mb is None else [f"mem={job.memory_mb}mb"]
    return ":".join(parts)


if __name__ == "__main__":
    run(submit, qsub, "PBS_JOBID", r"(?m)^(\d\S*)$")
