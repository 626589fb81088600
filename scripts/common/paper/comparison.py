"""Published values beside a run's own, for the table `comparison`: which are compared, and the verdict on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.paper.matching import counterparts, task_names
from common.paper.published import Published

REPRODUCED, DIFFERS, UNDECIDED = "reproduced", "differs", "undecided"
NOT_RUN, NOT_COMPARABLE = "not run", "not comparable"


@dataclass(frozen=True)
class Compared:
    """A published value beside ours.

    Attributes:
        table: table3, table1 or table2.
        row: row group and method, or hyper-parameter.
        column: task and k, or model and method.
        heading: the column as people read it.
        published: as printed; empty when the paper has no such cell.
        ours: accuracy in percent or the value of a hyper-parameter; empty when not run.
        interval: of ours, in percent.
        n: items of ours.
        verdict: reproduced, differs, undecided, not run (as long as nothing of ours is given) or not comparable.
        source: files of ours.
    """

    table: str
    row: str
    column: str
    heading: str
    published: str = ""
    ours: str = ""
    interval: tuple[float, float] | None = None
    n: str = ""
    verdict: str = NOT_RUN
    source: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus published in points, where the two are compared."""
        compared = self.table == "table3" and self.verdict in (REPRODUCED, DIFFERS, UNDECIDED)
        return float(self.ours) - float(self.published) if compared else None


def judge(
    published: str, ours: float, interval: tuple[float, float], tolerance: Mapping[str, float], decimals: int
) -> str:
    """The verdict on an accuracy of the paper's own model and task.

    Reproduced: within `tolerance_points`, or inside our 95 % interval, widened by the rounding of the printed value, if
    that is no wider than `widest_interval_points`. Inside a wider interval: undecided. Otherwise: differs.

    Args:
        published: percent, as printed.
        ours: percent.
        interval: of ours, percent.
        tolerance: the configuration's block `report`.
        decimals: that the table is rounded to; a shorter number lost its zeros, as the audit reads it.
    """
    rounding = 0.5 * 10.0**-decimals
    value, (low, high) = float(published), interval
    if abs(ours - value) <= tolerance["tolerance_points"]:
        return REPRODUCED
    if not low - rounding <= value <= high + rounding:
        return DIFFERS
    return REPRODUCED if high - low <= tolerance["widest_interval_points"] else UNDECIDED


def compare_accuracies(
    settings: Mapping[str, Any], published: Published, ours: Mapping[tuple[str, str], Mapping[str, str]]
) -> list[Compared]:
    """Every published cell of Table 3, then every cell of ours the paper has no counterpart of.

    Args:
        settings: of compare_tables.
        published: the paper's numbers.
        ours: rows of table3.csv by (model, method).
    """
    models, tasks = counterparts(settings)
    headings = {name: task for task, name in task_names(published.tasks, settings["published_tasks"]).items()}
    compared, used = [], set()
    for cell in published.table3:
        alone = Compared(
            table="table3",
            row=f"{cell.model}/{cell.method}",
            column=f"{cell.task}/k{cell.k}",
            heading=f"{cell.task} k={cell.k}",
            published=cell.text,
        )
        model, task = models.get(cell.model), tasks.get(cell.task)
        found = _our_cell(ours, model, cell.method, task=task, k=cell.k) if model and task else None
        if model is None or task is None or found is None:
            compared.append(alone)
            continue
        used.add((model, cell.method, task, cell.k))
        value, interval, n = found
        decimals = published.facts["decimals"]
        verdict = judge(cell.text, float(value), interval, tolerance=settings["tolerance"], decimals=decimals)
        source = f"eval/{model}/{cell.method}/{task}/k{cell.k}_seed*"
        compared.append(replace(alone, ours=value, interval=interval, n=n, verdict=verdict, source=source))
    for model, method in ours:
        for task in settings["published_tasks"]:
            for k in settings["shots"]:
                found = _our_cell(ours, model, method, task=task, k=k)
                if found is None or (model, method, task, k) in used:
                    continue
                value, interval, n = found
                compared.append(
                    Compared(
                        table="table3",
                        row=f"{model}/{method}",
                        column=f"{task}/k{k}",
                        heading=f"{headings.get(task, task)} k={k}",
                        ours=value,
                        interval=interval,
                        n=n,
                        verdict=NOT_COMPARABLE,
                        source=f"eval/{model}/{method}/{task}/k{k}_seed*",
                    )
                )
    return compared


def _our_cell(
    ours: Mapping[tuple[str, str], Mapping[str, str]], model: str, method: str, task: str, k: int
) -> tuple[str, tuple[float, float], str] | None:
    """Accuracy, interval and n of a cell of table3.csv; None when it was not run."""
    row, name = ours.get((model, method), {}), f"{task}_k{k}"
    if not row.get(name):
        return None
    return row[name], (float(row[f"{name}_low"]), float(row[f"{name}_high"])), row[f"{name}_n"]


def compare_hyper_parameters(
    settings: Mapping[str, Any], published: Published, cells: Sequence[Mapping[str, str]]
) -> list[Compared]:
    """Every published hyper-parameter against those of the runs on the paper's own models.

    Args:
        settings: of compare_tables.
        published: the paper's numbers.
        cells: rows of table1_cells.csv and table2_cells.csv.
    """
    models = {name: info.get("published") for name, info in settings["model_info"].items()}
    models |= {role["name"]: role["published"] for role in settings["rl"].values()}
    compared = []
    for (table, key, method), value in published.hyper_parameters.items():
        found = [
            row for row in cells if (row["table"], row["row"]) == (table, key) and row["column"].endswith(f"/{method}")
        ]
        for row in found:
            model = row["column"].removesuffix(f"/{method}")
            verdict = NOT_COMPARABLE
            if models.get(model):
                verdict = REPRODUCED if _numbers(row["value"]) == _numbers(value) else DIFFERS
            compared.append(
                Compared(
                    table=table,
                    row=key,
                    column=row["column"],
                    heading=row["column"],
                    published=value,
                    ours=row["value"],
                    verdict=verdict,
                    source=row["source"],
                )
            )
        if not found:
            compared.append(Compared(table=table, row=key, column=method, heading=method, published=value))
    return compared


def _numbers(text: str) -> list[float]:
    """The numbers of a value; none when it is not a list of numbers, as where a stage has no such hyper-parameter."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []
