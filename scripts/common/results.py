"""Score files read back: cells of Table 3 and which of them are significantly best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import read_json
from common.rows import read_frame
from common.statistics import holm, mean_interval, paired_p_value

SEED = 0
METHOD_LABELS = {"pretrained": "Pretrained", "sft": "SFT", "sft_best": "SFT (best-scored)", "coh": "CoH"}
CellKey = tuple[str, str, str, int]
Grid = dict[CellKey, "Cell | None"]


@dataclass(frozen=True)
class Cell:
    """One cell: the runs behind it.

    Attributes:
        correct: booleans, shape (runs, items), items in the same order in every run.
        ids: the items.
        title: the task's title.
    """

    correct: np.ndarray
    ids: tuple[str, ...]
    title: str

    @property
    def n(self) -> int:
        return int(self.correct.shape[1])

    @property
    def mean(self) -> float:
        return float(self.correct.mean())

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
    frames = [read_frame(stem.with_suffix(".parquet")) for stem in stems]
    ids = tuple(frames[0]["id"])
    for stem, frame in zip(stems, frames, strict=True):
        if tuple(frame["id"]) != ids:
            raise UserError("two runs of a cell have different items", str(stem), "delete both and evaluate again")
        summary = read_json(stem.with_suffix(".json"))
        if not isinstance(summary, dict) or int(frame["correct"].sum()) != summary.get("correct"):
            raise UserError("a score does not follow from its rows", str(stem), "delete it and evaluate again")
    return Cell(np.stack([frame[column].to_numpy(dtype=bool) for frame in frames]), ids, _title(folder))


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


def task_titles(grid: Mapping[CellKey, Cell | None]) -> dict[str, str]:
    """Titles of the tasks of a grid; a task all of whose cells are missing goes by its name."""
    return {
        key[2]: cell.title if cell else key[2] for key, cell in sorted(grid.items(), key=lambda e: e[1] is not None)
    }


def cell_text(cell: Cell | None) -> str:
    """Mean and interval in percent; a missing cell says so."""
    if cell is None:
        return "missing"
    low, high = cell.interval
    return f"{100 * cell.mean:.1f}\n{100 * low:.0f}\u2013{100 * high:.0f}"


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


def best_cells(cells: Mapping[CellKey, Cell | None], level: float = 0.05) -> set[CellKey]:
    """Cells of one model that beat every other method in their column significantly.

    Each column's best is tested against each other method on the same items; p-values are Holm-corrected over all
    columns together.
    """
    tests: list[tuple[CellKey, float]] = []
    columns: dict[tuple[str, int], list[CellKey]] = {}
    for key, cell in cells.items():
        if cell is not None:
            columns.setdefault((key[2], key[3]), []).append(key)
    for keys in columns.values():
        best = max(keys, key=lambda key: _present(cells, key).mean)
        for other in keys:
            if other != best:
                tests.append(
                    (best, paired_p_value(_present(cells, best).correct, _present(cells, other).correct, SEED))
                )
    adjusted = holm([p for _, p in tests])
    failed = {key for (key, _), p in zip(tests, adjusted, strict=True) if p > level}
    return {key for key, _ in tests} - failed


def _present(cells: Mapping[CellKey, Cell | None], key: CellKey) -> Cell:
    cell = cells[key]
    assert cell is not None
    return cell
