"""Score files read back as cells: the runs of a model and method on a task at one number of examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.base.errors import UserError
from common.files.parquet import read_frame
from common.files.whole_files import read_json, read_record, sha256_of_file
from common.stats.intervals import mean_interval

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
        unparseable: share of answers from which no single one could be read, mean over the runs.
        precision_checks: what each run found out about its dtype, if it was checked.
    """

    correct: np.ndarray
    ids: tuple[str, ...]
    title: str
    unparseable: float = 0.0
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
    unparseable = float(np.mean([summary["unparseable"] for summary in summaries]))
    return Cell(correct, ids, _title(folder), unparseable, tuple(checks))


def _rows_of(stem: Path, summary: Mapping[str, Any], column: str) -> pd.DataFrame:
    """The answers that a score was counted from.

    Raises:
        UserError: when they are not the ones that the score was written with.
    """
    path = stem.with_suffix(".parquet")
    frame = read_frame(path)
    whole = summary.get("rows_sha256") == sha256_of_file(path) and {"id", "correct", column} <= {*frame}
    told = isinstance(summary.get("unparseable"), int | float)
    if not whole or not told or int(frame["correct"].sum()) != summary.get("correct"):
        remedy = "delete both files of this score and run again: it is evaluated again"
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


def _title(folder: Path) -> str:
    """The task's title, from the summary prepare_task left in the same results folder."""
    results = next(parent.parent for parent in folder.parents if parent.name in ("eval", "markers"))
    summary = results / "data" / "tasks" / folder.name / "summary.json"
    return str(read_json(summary)["title"]) if summary.exists() else folder.name
