"""How long jobs take together: what finished jobs tell of those to come, and which can run side by side."""

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

# What the jobs of a kind have in common is how far their plan is off: that of training says little about plots.
KINDS = TRAINS, ANSWERS, OTHER = ("training", "answering", "other")


@dataclass
class Seen:
    """Seconds that finished jobs took, beside those planned for them, by kind."""

    taken: dict[str, float]
    planned: dict[str, float]

    @classmethod
    def nothing(cls) -> "Seen":
        return cls(dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0))

    def add(self, kind: str, planned: float, taken: float) -> None:
        self.taken[kind] += taken
        self.planned[kind] += planned

    def factor(self, kinds: Iterable[str]) -> float | None:
        """Seconds taken per second planned; None when no job of these kinds has finished."""
        taken, planned = (sum(values[kind] for kind in kinds) for values in (self.taken, self.planned))
        return taken / planned if planned and taken else None


def correction(kind: str, *evidence: Seen) -> float:
    """The factor to multiply a planned time with.

    Jobs of the same kind tell it best, those of this run before those of earlier ones. Without any, jobs that train or
    answer tell at least how fast the machine is.

    Args:
        kind: one of KINDS.
        evidence: what was seen, the most telling first.
    """
    for kinds in ([kind], [] if kind == OTHER else [TRAINS, ANSWERS]):
        for seen in evidence:
            if factor := seen.factor(kinds):
                return factor
    return 1.0


@dataclass(frozen=True)
class Task:
    """A job that is not finished.

    Attributes:
        seconds: it still takes.
        needs: of each limited resource.
        after: tasks that must end first; those that are not there have ended.
        running: whether it holds its resources already.
    """

    seconds: float
    needs: Mapping[str, int]
    after: Collection[int] = ()
    running: bool = False


def makespan(tasks: Mapping[int, Task], limits: Mapping[str, int]) -> float:
    """Seconds until the last task ends, when each starts as soon as it can; where several can, the longest first.

    Args:
        tasks: by number, without circles.
        limits: how much there is of each resource; what is not named is unlimited.
    """
    free, now = dict(limits), 0.0
    left = {number: {before for before in task.after if before in tasks} for number, task in tasks.items()}
    order = sorted(tasks, key=lambda number: (not tasks[number].running, -tasks[number].seconds))
    ends: list[tuple[float, int]] = []
    while left or ends:
        for number in [number for number in order if number in left and not left[number]]:
            task = tasks[number]
            if task.running or not ends or all(free[name] >= task.needs.get(name, 0) for name in free):
                free = {name: amount - task.needs.get(name, 0) for name, amount in free.items()}
                heapq.heappush(ends, (now + task.seconds, number))
                del left[number]
        now, ended = heapq.heappop(ends)
        free = {name: amount + tasks[ended].needs.get(name, 0) for name, amount in free.items()}
        for waiting in left.values():
            waiting.discard(ended)
    return now
