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
    """Seconds until the last task ends, when each starts as soon as it may and has room, the longest first.

    None overtakes one that waits for room, so the time is a little too long where small tasks could fill a gap.

    Args:
        tasks: by number, without circles.
        limits: how much there is of each resource; what is not named is unlimited.
    """
    free, now = dict(limits), 0.0
    waits_for = {number: {before for before in task.after if before in tasks} for number, task in tasks.items()}
    followers: dict[int, list[int]] = {number: [] for number in tasks}
    for number, befores in waits_for.items():
        for before in befores:
            followers[before].append(number)
    ready = [(not task.running, -task.seconds, number) for number, task in tasks.items() if not waits_for[number]]
    heapq.heapify(ready)
    ends: list[tuple[float, int]] = []

    def needed(number: int, name: str) -> int:
        return min(tasks[number].needs.get(name, 0), limits[name])

    while ready or ends:
        while ready and (tasks[ready[0][2]].running or all(free[name] >= needed(ready[0][2], name) for name in free)):
            number = heapq.heappop(ready)[2]
            free = {name: amount - needed(number, name) for name, amount in free.items()}
            heapq.heappush(ends, (now + tasks[number].seconds, number))
        now, ended = heapq.heappop(ends)
        free = {name: amount + needed(ended, name) for name, amount in free.items()}
        for follower in followers[ended]:
            waits_for[follower].discard(ended)
            if not waits_for[follower]:
                heapq.heappush(ready, (not tasks[follower].running, -tasks[follower].seconds, follower))
    return now
