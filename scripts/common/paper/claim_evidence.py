"""The two bodies of evidence for checking a claim of the paper: the published table, and the tables of a run."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.base.errors import UserError
from common.paper.proportions import difference_deviation, two_proportion_p_value, worst_pairing_p_value
from common.paper.published import Key, Published, PublishedCell
from common.stats.intervals import Z95
from common.tables.cells import cell_id


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
        cells: names of the published cells it rests on, or ids of this run's paired comparisons.
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
        first: percent of the first method.
        second: percent of the second.
        mean: of the differences, in points.
        deviation: its standard error in points, the cells of the task taken to be fully correlated (they share
            their items), which overstates it.
        n: items.
        cells: as of a contrast.
    """

    first: float
    second: float
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
            where=_where(subject, task, k),
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
        ahead, other = (100 * statistics.fmean(each) for each in zip(*shares, strict=True))
        return Change(
            first=ahead, second=other, mean=ahead - other, deviation=100 * deviation, n=items,
            cells=tuple(cell.name for pair in found for cell in pair),
        )  # fmt: skip

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
        a, b = self._percents(subject, first, second, task=task, k=k)
        return Contrast(
            where=_where(subject, task, k),
            first=a,
            second=b,
            difference=pair["difference"],
            interval=(pair["low"], pair["high"]),
            p_value=pair["p"],
            worst_p_value=None,
            n=int(pair["n"]),
            cells=(pair["cell"],),
        )

    def change(self, subject: Subject, first: str, second: str, task: str, shots: Sequence[int]) -> Change | None:
        pairs = [self._pair(subject, first, second, task=task, k=k) for k in shots]
        found = [pair for pair in pairs if pair is not None]
        if len(found) < len(pairs):
            return None
        deviation = sum((pair["high"] - pair["low"]) / (2 * Z95) for pair in found) / len(found)
        percents = [self._percents(subject, first, second, task=task, k=k) for k in shots]
        a, b = (statistics.fmean(each) for each in zip(*percents, strict=True))
        mean = statistics.fmean(pair["difference"] for pair in found)
        return Change(
            first=a, second=b, mean=mean, deviation=deviation, n=min(int(pair["n"]) for pair in found),
            cells=tuple(pair["cell"] for pair in found),
        )  # fmt: skip

    def _percents(self, subject: Subject, first: str, second: str, task: str, k: int) -> tuple[float, float]:
        keys: list[Key] = [(subject.name, method, self._tasks[task], k) for method in (first, second)]
        if any(key not in self._accuracies for key in keys):
            what, where = "table3.csv lacks a cell that paired.csv compares", _where(subject, task, k)
            raise UserError(what, where, "render both tables again")
        return self._accuracies[keys[0]], self._accuracies[keys[1]]

    def _pair(self, subject: Subject, first: str, second: str, task: str, k: int) -> dict[str, Any] | None:
        """The comparison in the direction asked for; the file holds each pair once."""
        name = self._tasks.get(task, "")
        found = self._pairs.get((subject.name, first, second, name, k))
        if found is not None:
            return found
        turned = self._pairs.get((subject.name, second, first, name, k))
        if turned is None:
            return None
        return {**turned, "difference": -turned["difference"], "low": -turned["high"], "high": -turned["low"]}


def _where(subject: Subject, task: str, k: int) -> str:
    return f"{subject.label} {task} k={k}"


def _numbers(row: Mapping[str, str]) -> dict[str, Any] | None:
    """The numbers of a row of paired.csv and its cell's id; None when the comparison is missing there."""
    names = ("difference", "low", "high", "p", "n")
    if not row["difference"]:
        return None
    try:
        numbers = {name: float(row[name]) for name in names}
    except ValueError as error:
        raise UserError(f"a paired comparison is not a number: {error}", str(dict(row)), "render it again") from error
    if not all(math.isfinite(value) for value in numbers.values()):
        raise UserError("a paired comparison is not finite", str(dict(row)), "render it again")
    cell = cell_id("paired", f"{row['model']}/{row['first']}-{row['second']}", f"{row['task']}/k{row['k']}")
    return {**numbers, "cell": cell}
