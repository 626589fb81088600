"""The two bodies of evidence for checking a claim of the paper: the published table, and the tables of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.base.errors import UserError
from common.paper.proportions import difference_deviation, two_proportion_p_value, worst_pairing_p_value
from common.paper.published import Key, Published, PublishedCell
from common.stats.intervals import Z95


@dataclass(frozen=True)
class Contrast:
    """Two numbers that a claim compares; first the one that it puts ahead.

    Attributes:
        where: what is compared, for people.
        first: the number the claim puts ahead.
        second: the other.
        difference: first minus second.
        interval: of the difference, 95 %; None where none applies.
        p_value: of the difference, two-sided, not yet corrected.
        worst_p_value: the largest a paired test could give, where the pairing is unknown; else None.
        n: items or ratings behind it.
        cells: names of the published cells it rests on.
    """

    where: str
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    p_value: float
    worst_p_value: float | None
    n: int
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A difference of two methods on one task, averaged over numbers of examples.

    Attributes:
        mean: in points.
        deviation: its standard error in points, the cells of the task taken to be fully correlated (they share
            their items), which overstates it.
        n: items.
        cells: names of the published cells it rests on.
    """

    mean: float
    deviation: float
    n: int
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A model claims are checked on.

    Attributes:
        name: its key in the evidence.
        label: its name for people.
        published: the row group of Table 3 it stands for, or None if the paper has no such model.
    """

    name: str
    label: str
    published: str | None


class Evidence(Protocol):
    """What the tests of claims need; tasks have their published names, methods are pretrained, sft, coh."""

    @property
    def subjects(self) -> Sequence[Subject]:
        """The models it is about."""

    def compare(self, subject: Subject, first: str, second: str, task: str, k: int) -> Contrast | None:
        """One cell of `first` against the same cell of `second`; None when either is missing."""

    def change(self, subject: Subject, first: str, second: str, task: str, shots: Sequence[int]) -> Change | None:
        """The difference over several numbers of examples; None when a cell is missing."""


class PublishedEvidence:
    """Table 3 as printed, with the sizes of the evaluation sets; which items were right is not known."""

    def __init__(self, published: Published):
        self.published = published
        self.subjects = [Subject(model, model, model) for model in published.models]
        self._cells = published.cells

    def compare(self, subject: Subject, first: str, second: str, task: str, k: int) -> Contrast | None:
        pair = self._pair(subject, first, second, task=task, k=k)
        if pair is None:
            return None
        a, b = (cell.percent / 100 for cell in pair)
        items, runs = self.published.items(task), self.published.runs(k)
        difference, half = 100 * (a - b), 100 * Z95 * difference_deviation(a, b, items)
        return Contrast(
            where=f"{subject.label} {task} k={k}",
            first=pair[0].percent,
            second=pair[1].percent,
            difference=difference,
            interval=(difference - half, difference + half),
            p_value=two_proportion_p_value(a, b, items),
            worst_p_value=worst_pairing_p_value(a, b, items, runs),
            n=items,
            cells=tuple(cell.name for cell in pair),
        )

    def change(self, subject: Subject, first: str, second: str, task: str, shots: Sequence[int]) -> Change | None:
        pairs = [self._pair(subject, first, second, task=task, k=k) for k in shots]
        found = [pair for pair in pairs if pair is not None]
        if len(found) < len(pairs):
            return None
        shares = [(a.percent / 100, b.percent / 100) for a, b in found]
        items = self.published.items(task)
        deviation = sum(difference_deviation(a, b, items) for a, b in shares) / len(shares)
        mean = sum(a - b for a, b in shares) / len(shares)
        return Change(100 * mean, 100 * deviation, items, tuple(cell.name for pair in found for cell in pair))

    def _pair(
        self, subject: Subject, first: str, second: str, task: str, k: int
    ) -> tuple[PublishedCell, PublishedCell] | None:
        cells = [self._cells.get((subject.name, method, task, k)) for method in (first, second)]
        return None if cells[0] is None or cells[1] is None else (cells[0], cells[1])


class RunEvidence:
    """Paired comparisons of this package, made on the same items.

    Args:
        accuracies: percent by (model, method, task, k), the configuration's names.
        paired: rows of paired.csv.
        subjects: models of the configuration.
        tasks: the configuration's task by published name.
    """

    def __init__(
        self,
        accuracies: Mapping[Key, float],
        paired: Sequence[Mapping[str, str]],
        subjects: Sequence[Subject],
        tasks: Mapping[str, str],
    ):
        self.subjects = subjects
        self._accuracies, self._tasks = accuracies, tasks
        self._pairs = {(r["model"], r["first"], r["second"], r["task"], int(r["k"])): _numbers(r) for r in paired}

    def compare(self, subject: Subject, first: str, second: str, task: str, k: int) -> Contrast | None:
        pair = self._pair(subject, first, second, task=task, k=k)
        if pair is None:
            return None
        name = self._tasks[task]
        keys: list[Key] = [(subject.name, method, name, k) for method in (first, second)]
        where = f"{subject.label} {task} k={k}"
        if any(key not in self._accuracies for key in keys):
            raise UserError("table3.csv lacks a cell that paired.csv compares", where, "render both tables again")
        a, b = (self._accuracies[key] for key in keys)
        return Contrast(
            where=where,
            first=a,
            second=b,
            difference=pair["difference"],
            interval=(pair["low"], pair["high"]),
            p_value=pair["p"],
            worst_p_value=None,
            n=int(pair["n"]),
        )

    def change(self, subject: Subject, first: str, second: str, task: str, shots: Sequence[int]) -> Change | None:
        pairs = [self._pair(subject, first, second, task=task, k=k) for k in shots]
        found = [pair for pair in pairs if pair is not None]
        if len(found) < len(pairs):
            return None
        deviation = sum((pair["high"] - pair["low"]) / (2 * Z95) for pair in found) / len(found)
        mean = sum(pair["difference"] for pair in found) / len(found)
        return Change(mean, deviation, min(int(pair["n"]) for pair in found))

    def _pair(self, subject: Subject, first: str, second: str, task: str, k: int) -> dict[str, float] | None:
        """The comparison in the direction asked for; the file holds each pair once."""
        name = self._tasks.get(task, "")
        found = self._pairs.get((subject.name, first, second, name, k))
        if found is not None:
            return found
        turned = self._pairs.get((subject.name, second, first, name, k))
        if turned is None:
            return None
        return {**turned, "difference": -turned["difference"], "low": -turned["high"], "high": -turned["low"]}


def _numbers(row: Mapping[str, str]) -> dict[str, float] | None:
    """The numbers of a row of paired.csv; None when the comparison is missing there."""
    names = ("difference", "low", "high", "p", "n")
    if not row["difference"]:
        return None
    try:
        numbers = {name: float(row[name]) for name in names}
    except ValueError as error:
        raise UserError(f"a paired comparison is not a number: {error}", str(dict(row)), "render it again") from error
    if not all(math.isfinite(value) for value in numbers.values()):
        raise UserError("a paired comparison is not finite", str(dict(row)), "render it again")
    return numbers
