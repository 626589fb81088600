"""Methods of one model compared pair by pair, and which of them is significantly best."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.base.errors import UserError
from common.stats.paired import Comparison, compare
from common.stats.significance import LEVEL, holm
from common.tables.scores import SEED, Cell, CellKey


@dataclass(frozen=True)
class PairedTest:
    """Two methods of one model in one column; `first` minus `second`.

    Attributes:
        comparison: None when a score file of either is missing.
        adjusted: its p-value, Holm-corrected over all tests of the model.
    """

    model: str
    task: str
    k: int
    first: str
    second: str
    comparison: Comparison | None = None
    adjusted: float = 1.0


def paired_tests(cells: Mapping[CellKey, Cell | None]) -> list[PairedTest]:
    """Every pair of methods of one model in every column, the later method minus the earlier.

    Raises:
        UserError: when the two were asked different items.
    """
    columns: dict[tuple[str, str, int], list[str]] = {}
    for model, method, task, k in cells:
        columns.setdefault((model, task, k), []).append(method)
    tests = []
    for (model, task, k), methods in columns.items():
        for second, first in itertools.combinations(methods, 2):
            one, other = (cells[model, method, task, k] for method in (first, second))
            comparison = _compare_cells(one, other, f"{model}, {task}, k={k}")
            tests.append(PairedTest(model, task, k, first=first, second=second, comparison=comparison))
    made = [i for i, test in enumerate(tests) if test.comparison]
    p_values = [test.comparison.p_value for test in tests if test.comparison]
    for i, adjusted in zip(made, holm(p_values), strict=True):
        tests[i] = replace(tests[i], adjusted=adjusted)
    return tests


def _compare_cells(first: Cell | None, second: Cell | None, where: str) -> Comparison | None:
    if first is None or second is None:
        return None
    if first.ids != second.ids:
        raise UserError("two methods were asked different items", where, "delete the scores of both, evaluate again")
    return compare(first.correct, second.correct, SEED)


def best_cells(cells: Mapping[CellKey, Cell | None]) -> set[CellKey]:
    """Cells of one model that beat every other method in their column significantly, by `paired_tests`."""
    beaten: dict[CellKey, int] = {}
    others: dict[CellKey, int] = {}
    for test in paired_tests(cells):
        if test.comparison is None:
            continue
        pair = [(test.model, method, test.task, test.k) for method in (test.first, test.second)]
        for key in pair:
            others[key] = others.get(key, 0) + 1
        if test.adjusted <= LEVEL:
            winner = pair[0] if test.comparison.difference > 0 else pair[1]
            beaten[winner] = beaten.get(winner, 0) + 1
    return {key for key, count in beaten.items() if count == others[key]}
