"""Score files read back: cells of Table 3, methods compared pair by pair, and which of them is significantly best."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.base.errors import UserError
from common.files.parquet import read_frame
from common.files.whole_files import read_json, read_record, sha256_of_file
from common.stats.intervals import mean_interval
from common.stats.paired import Comparison, compare
from common.stats.significance import holm
from common.tables.language import Text

SEED = 0
CellKey = tuple[str, str, str, int]
Grid = dict[CellKey, "Cell | None"]


@dataclass(frozen=True)
class Cell:
    """One cell: the runs behind it.

    Attributes:
        correct: booleans, shape (runs, items), items in the same order in every run.
        ids: the items.
        title: the task's title.
        precision_checks: what each run found out about its dtype, if it was checked.
    """

    correct: np.ndarray
    ids: tuple[str, ...]
    title: str
    precision_checks: tuple[Mapping[str, Any], ...] = ()

    @property
    def n(self) -> int:
        return int(self.correct.shape[1])

    @property
    def mean(self) -> float:
        return float(self.correct.mean())

    @property
    def draws(self) -> np.ndarray:
        """Accuracy of each run, that is of each draw of in-context examples."""
        return self.correct.mean(axis=1)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the draws; None for one run."""
        return float(self.draws.std(ddof=1)) if len(self.draws) > 1 else None

    @property
    def stderr(self) -> float:
        """Standard error of the mean over items."""
        items = self.correct.mean(axis=0)
        return float(items.std(ddof=1) / np.sqrt(len(items))) if len(items) > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return mean_interval(self.correct, SEED)


def load_cell(folder: Path, k: int, seeds: Sequence[int], column: str = "correct") -> Cell | None:
    """The runs of one cell, or None when one of them is missing.

    Raises:
        UserError: when runs disagree about the items, or a summary about its rows.
    """
    stems = [folder / f"k{k}_seed{seed}" for seed in seeds]
    if not all(stem.with_suffix(suffix).exists() for stem in stems for suffix in (".json", ".parquet")):
        return None
    summaries = [read_record(stem.with_suffix(".json")) for stem in stems]
    frames = [_rows_of(stem, summary, column) for stem, summary in zip(stems, summaries, strict=True)]
    ids = tuple(frames[0]["id"])
    checks = []
    for stem, frame, summary in zip(stems, frames, summaries, strict=True):
        if tuple(frame["id"]) != ids:
            raise UserError("two runs of a cell have different items", str(stem), "delete both and evaluate again")
        checks += [summary["precision"]] if summary.get("precision") else []
    correct = np.stack([frame[column].to_numpy(dtype=bool) for frame in frames])
    return Cell(correct, ids, _title(folder), tuple(checks))


def _rows_of(stem: Path, summary: Mapping[str, Any], column: str) -> pd.DataFrame:
    """The answers a score was counted from.

    Raises:
        UserError: when they are not those the score was written with.
    """
    path = stem.with_suffix(".parquet")
    frame = read_frame(path)
    whole = summary.get("rows_sha256") == sha256_of_file(path) and {"id", "correct", column} <= {*frame}
    if not whole or int(frame["correct"].sum()) != summary.get("correct"):
        remedy = "delete both files of this score and run again: it is evaluated anew"
        raise UserError("a score does not follow from its rows", f"{stem}.json, {path.name}", remedy)
    return frame


def load_grid(settings: Mapping[str, Any], folder: Path, column: str = "correct") -> Grid:
    """Every cell of Table 3 by (model, method, task, k); None where a score file is missing.

    Args:
        settings: with models, methods, tasks, shots, seeds.
        folder: of the score files, eval/.
        column: correct, correct_strict or correct_likelihood.
    """
    return {
        (model, method, task, k): load_cell(folder / model / method / task, k, settings["seeds"] if k else [0], column)
        for model in settings["models"]
        for method in settings["methods"]
        for task in settings["tasks"]
        for k in settings["shots"]
    }


def several_draws(settings: Mapping[str, Any]) -> bool:
    """Whether some cell is a mean over draws of in-context examples."""
    return len(settings["seeds"]) > 1 and any(settings["shots"])


def task_titles(grid: Mapping[CellKey, Cell | None]) -> dict[str, str]:
    """Titles of the tasks of a grid; a task all of whose cells are missing goes by its name."""
    return {
        key[2]: cell.title if cell else key[2] for key, cell in sorted(grid.items(), key=lambda e: e[1] is not None)
    }


def cell_text(cell: Cell | None) -> str:
    """Mean and interval in percent, and of several draws the lowest and highest; a missing cell says so."""
    if cell is None:
        return "missing"
    lines = [f"{100 * cell.mean:.1f}", _percent_range(*cell.interval)]
    if len(cell.draws) > 1:
        lines.append(f"({_percent_range(cell.draws.min(), cell.draws.max())})")
    return "\n".join(lines)


def _percent_range(low: float, high: float) -> str:
    return f"{100 * low:.0f}\u2013{100 * high:.0f}"


def precision_note(cells: Iterable[Cell | None]) -> Text | None:
    """A sentence on how many answers a lower precision changed; None where all is fp32."""
    checks = [check for cell in cells if cell for check in cell.precision_checks]
    items = sum(check["items"] for check in checks)
    if not items:
        return None
    changed = {
        key: sum(check["items"] * check["changed"][key] for check in checks) / items
        for key in ("text", "generation", "likelihood")
    }
    return Text(
        "Answered in {dtype}; of {items} answers repeated in float32, changed were {text} % of the texts, {generation} "
        "% of the generation verdicts, {likelihood} % of the likelihood verdicts.",
        dtype=checks[0]["dtype"],
        items=items,
        **{key: f"{100 * share:.1f}" for key, share in changed.items()},
    )


def cell_row(table: str, row: str, column: str, cell: Cell | None, source: str) -> list[object]:
    """A line of cells.csv, value and standard error in percent."""
    values: list[object] = ["missing", None, None]
    if cell is not None:
        values = [f"{100 * cell.mean:.4f}", f"{100 * cell.stderr:.4f}", cell.n]
    return [f"{table}/{row}/{column}", table, row, column, *values, source]


def _title(folder: Path) -> str:
    """The task's title, from the summary prepare_task left in the same results folder."""
    results = next(parent.parent for parent in folder.parents if parent.name in ("eval", "markers"))
    summary = results / "data" / "tasks" / folder.name / "summary.json"
    return str(read_json(summary)["title"]) if summary.exists() else folder.name


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
            tests.append(PairedTest(model, task, k, first, second, comparison))
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


def best_cells(cells: Mapping[CellKey, Cell | None], level: float = 0.05) -> set[CellKey]:
    """Cells of one model that beat every other method in their column significantly, by `paired_tests`."""
    beaten: dict[CellKey, int] = {}
    others: dict[CellKey, int] = {}
    for test in paired_tests(cells):
        if test.comparison is None:
            continue
        pair = [(test.model, method, test.task, test.k) for method in (test.first, test.second)]
        for key in pair:
            others[key] = others.get(key, 0) + 1
        if test.adjusted <= level:
            winner = pair[0] if test.comparison.difference > 0 else pair[1]
            beaten[winner] = beaten.get(winner, 0) + 1
    return {key for key, count in beaten.items() if count == others[key]}
