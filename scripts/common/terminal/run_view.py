"""A run as one sees it: a line when a job starts and ends, and how long the rest takes."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.base.paths import ROOT
from common.jobs.console import format_seconds
from common.planning.schedule import Seen, Task, correction, makespan

EXPECTED = ROOT / "resources" / "expected"


@dataclass(frozen=True)
class RunJob:
    """A job of a run.

    Attributes:
        name: its rule and wildcards, as in its own lines.
        serves: the methods it is done for.
        kind: training, answering or other.
        planned: seconds; None when they are not known.
        needs: of each limited resource.
        after: jobs that must end first.
        benchmark: the file its seconds are written to; empty for none.
    """

    name: str
    serves: str
    kind: str
    planned: float | None
    needs: Mapping[str, int] = field(default_factory=dict)
    after: frozenset[int] = frozenset()
    benchmark: str = ""


def benchmark_seconds(path: str) -> float | None:
    """The seconds in a benchmark file; None when there is none, or not yet."""
    try:
        return float(Path(path).read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, IndexError, ValueError):
        return None


def about(seconds: float) -> str:
    """`1980` -> `about 33 min`; no more exact than an estimate is."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes:.0f} min"
    return f"about {minutes / 60:.1f} h" if minutes < 600 else f"about {minutes / 60:.0f} h"


class RunView:
    """What is known of a run while it goes on.

    Args:
        jobs: by Snakemake's number.
        limits: how much there is of each resource.
        before: what jobs of earlier runs took.
        clock: seconds.
    """

    def __init__(
        self, jobs: Mapping[int, RunJob], limits: Mapping[str, int], before: Seen,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self.jobs, self.limits, self.before, self.clock = jobs, limits, before, clock
        self.begun, self.seen = clock(), Seen.nothing()
        self.started: dict[int, float] = {}
        self.finished: set[int] = set()
        self.failed: dict[int, str] = {}
        self.interrupted = False

    @property
    def estimated(self) -> bool:
        return all(job.planned is not None for job in self.jobs.values())

    def left(self) -> float:
        """Seconds until the last job ends; what waits for a failed job is not run."""
        now, tasks = self.clock(), {}
        dead = self._given_up()
        for number, job in self.jobs.items():
            if number not in self.finished and number not in dead:
                whole = (job.planned or 0.0) * correction(job.kind, self.seen, self.before)
                spent = now - self.started[number] if number in self.started else 0.0
                tasks[number] = Task(max(whole - spent, 0.0), job.needs, job.after, number in self.started)
        return makespan(tasks, self.limits)

    def _given_up(self) -> set[int]:
        """Failed jobs and what waits for them."""
        dead = set(self.failed)
        while more := {number for number, job in self.jobs.items() if job.after & dead} - dead:
            dead |= more
        return dead

    def header(self, preset: str, place: str) -> str:
        """How much there is to do.

        Args:
            preset: its name.
            place: where the jobs run, in words.
        """
        jobs = "1 job" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs"
        time_needed = f", {about(self.left())}" if self.estimated else ""
        return f"Preset {preset}: {jobs}{time_needed} {place}."

    def start(self, number: int) -> str:
        """The line of a job that starts."""
        self.started[number] = self.clock()
        self.failed.pop(number, None)
        return self._line("start", self.jobs[number])

    def finish(self, number: int) -> str:
        """The line of a job that has ended well, with what is left."""
        job = self.jobs[number]
        passed = self.clock() - self.started.pop(number, self.clock())
        taken = passed if (noted := benchmark_seconds(job.benchmark)) is None else noted
        self.finished.add(number)
        if job.planned:
            self.seen.add(job.kind, job.planned, taken)
        done = f"{len(self.finished)}/{len(self.jobs)} jobs"
        left = f", {about(self.left())} left" if self.estimated and len(self.finished) < len(self.jobs) else ""
        return f"{self._line('done', job)} in {format_seconds(taken)}; {done}{left}"

    def fail(self, number: int, log: str) -> str:
        """The line of a job that has failed; it may start again."""
        self.started.pop(number, None)
        self.failed[number] = log
        if self.interrupted:
            return self._line("ended", self.jobs[number])
        return f"{self._line('failed', self.jobs[number])}; its log: {log}"

    def _line(self, what: str, job: RunJob) -> str:
        return f"{format_seconds(self.clock() - self.begun):>7}  {what:<6}  {job.name} ({job.serves})"

    def ending(self, preset: str, places: Iterable[str]) -> str:
        """What is said when all has ended well."""
        passed = format_seconds(self.clock() - self.begun)
        return "\n".join([f"Preset {preset}: all done in {passed}.", *places])

    def failure(self) -> str:
        """What is said when not all has ended well."""
        if self.interrupted:
            kept = f"{len(self.finished)} of {len(self.jobs)} jobs are done and kept"
            return f"interrupted: {kept}; the same command goes on from there"
        waiting = len(self._given_up()) - len(self.failed)
        unasked = f", {waiting} that need them were not run" if waiting else ""
        lines = [f"error: {len(self.failed)} of {len(self.jobs)} jobs failed{unasked}; {len(self.finished)} are kept"]
        lines += [f"  where: {self.jobs[number].name}: {log}" for number, log in self.failed.items()]
        return "\n".join([*lines, "  what to do: what the message of the job says, then run the same command again"])


def places(results: str) -> list[str]:
    """Where to look first: of the files that answer most, those that are there."""
    labels = {
        f"{results}/report/report.html": "report page, for a browser",
        f"{results}/tables/table3.md": "Table 3: accuracy",
    }
    there = [path for path in labels if Path(path).is_file()]
    width = max(map(len, there), default=0)
    lines = ["Look first at", *(f"  {path:<{width}}  {labels[path]}" for path in there)] if there else []
    preset = Path(results).name
    if there and (EXPECTED / preset).is_dir():
        lines.append(f"Then `make verify PRESET={preset}` says whether the results are those that were expected.")
    return lines
