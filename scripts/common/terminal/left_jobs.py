"""Jobs of an earlier run in this directory that SLURM still has, because that Snakemake was killed.

The next run would submit them again, and the second would hold its GPUs behind the first one's lock.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Between two looks at the queue.
SECONDS = 5.0


def names_of(workflow: Any) -> set[str]:
    """The comments that the SLURM executor gives to the jobs that are due."""
    from snakemake_executor_plugin_slurm.utils import get_job_wildcards

    names = set()
    for job in workflow.dag.needrun_jobs():
        wildcards = get_job_wildcards(job)
        names.add(f"rule_{job.rule.name}" + (f"_wildcards_{wildcards}" if wildcards else ""))
    return names


def queued(folder: Path) -> dict[str, str]:
    """This user's jobs with this working directory: their comments by number; none where there is no SLURM."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%Z|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return {number: comment for number, place, comment in rows if Path(place) == folder}


def left_jobs(folder: Path, due: Iterable[str]) -> dict[str, str]:
    """Jobs of an earlier run that make what is due now."""
    wanted = set(due)
    return {number: comment for number, comment in queued(folder).items() if comment in wanted}


def take_over(workflow: Any, say: Callable[[str], None]) -> None:
    """Wait for what an earlier run left in the queue, then start this Snakemake anew, which finds what those jobs made.

    Args:
        workflow: Snakemake's, its jobs known and none started.
        say: what tells people.
    """
    if not Path(".snakemake/slurm_logs").is_dir():
        return
    folder, due = Path.cwd(), names_of(workflow)
    left = left_jobs(folder, due)
    if not left:
        return
    for number, comment in left.items():
        name = comment.removeprefix("rule_").replace("_wildcards_", " ")
        say(f"waiting: SLURM job {number} of an earlier run still makes {name}; this run takes over what it makes")
    say(f"(`scancel {' '.join(left)}` ends the wait; trainings resume)")
    while left_jobs(folder, due):
        time.sleep(SECONDS)
    workflow.persistence.unlock()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *sys.argv[1:]])  # noqa: S606
