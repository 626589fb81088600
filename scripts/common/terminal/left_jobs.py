"""Jobs of an earlier run of a preset that SLURM still has, because that Snakemake was killed.

The next run would submit them again, and the second would hold its GPUs behind the first one's lock. Their numbers are
written down when Snakemake tells that it submits them: the queue knows rules and wildcards only, which presets share.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SUBMITTED = "logs/submitted"  # in the preset's results: a number a line
NUMBER = re.compile(r"Job \d+ has been submitted with SLURM jobid (\d+)")
# Between two looks at the queue.
SECONDS = 5.0


def remember(results: Path, message: str) -> None:
    """Write down the number of a job, if this is what Snakemake says when it submits one."""
    if found := NUMBER.match(message):
        path = results / SUBMITTED
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{found[1]}\n")


def names_of(workflow: Any) -> set[str]:
    """The comments that the SLURM executor gives to the jobs that are due."""
    from snakemake_executor_plugin_slurm.utils import get_job_wildcards

    names = set()
    for job in workflow.dag.needrun_jobs():
        wildcards = get_job_wildcards(job)
        names.add(f"rule_{job.rule.name}" + (f"_wildcards_{wildcards}" if wildcards else ""))
    return names


def queued(folder: Path) -> dict[str, str] | None:
    """This user's jobs with this working directory: their comments by number; None where SLURM does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%Z|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return {number: comment for number, place, comment in rows if Path(place) == folder}


def left_jobs(folder: Path, results: Path, due: Iterable[str]) -> dict[str, str] | None:
    """Jobs that an earlier run of the preset submitted and that make what is due now: their comments by number.

    None where SLURM does not answer.
    """
    jobs = queued(folder)
    if jobs is None:
        return None
    submitted, wanted = set((results / SUBMITTED).read_text(encoding="utf-8").split()), set(due)
    return {number: comment for number, comment in jobs.items() if number in submitted and comment in wanted}


def take_over(workflow: Any, results: Path, say: Callable[[str], None]) -> None:
    """Wait for what an earlier run left in the queue, then start this Snakemake anew, which finds what those jobs made.

    Args:
        workflow: Snakemake's, its jobs known and none started.
        results: directory of the preset's results.
        say: what tells people.
    """
    if not (results / SUBMITTED).is_file():
        return
    folder, due = Path.cwd(), names_of(workflow)
    left = left_jobs(folder, results, due)
    if left == {}:
        (results / SUBMITTED).unlink()  # from here on, what this run submits
    if not left:
        return
    for number, comment in left.items():
        name = comment.removeprefix("rule_").replace("_wildcards_", " ")
        say(f"waiting: SLURM job {number} of an earlier run still makes {name}; this run takes over what it makes")
    say(f"(`scancel {' '.join(left)}` ends the wait; trainings resume)")
    while left_jobs(folder, results, due) != {}:
        time.sleep(SECONDS)
    workflow.persistence.unlock()
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(_first_directory())  # options may name files from there
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *sys.argv[1:]])  # noqa: S606


def _first_directory() -> Path:
    """Where Snakemake was started, as the shell says; `--directory` has changed that since."""
    if not {"-d", "--directory"} & {word.partition("=")[0] for word in sys.argv}:
        return Path.cwd()
    return Path(os.environ.get("PWD") or Path.cwd())
