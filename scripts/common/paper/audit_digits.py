"""The audit's checks of Table 3's digits: reachable cells, power, evaluation sets that fit, runs, repeated rows."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.paper import grim
from common.paper.audit_findings import Finding
from common.paper.proportions import same_value_chance
from common.paper.published import Published, PublishedCell
from common.tables.table import Table

FEW = 0.01


def trials(published: Published, cell: PublishedCell) -> int:
    """Answers behind a cell: runs times items."""
    return published.runs(cell.k) * published.items(cell.task)


def unreachable_cells(published: Published, rounding: str = "nearest") -> list[PublishedCell]:
    """Cells of Table 3 that are not a mean of the stated number of runs over the evaluation set."""
    decimals = published.facts["decimals"]
    units = [cell.units(decimals) for cell in published.table3]
    reached = grim.is_reachable(units, [trials(published, cell) for cell in published.table3], decimals, rounding)
    return [cell for cell, found in zip(published.table3, reached, strict=True) if not found]


def explain_unreachable(published: Published, cell: PublishedCell) -> dict[str, Any]:
    """The counts next to a cell and the other readings under which it would be reachable."""
    decimals, items, runs = published.facts["decimals"], published.items(cell.task), published.runs(cell.k)
    units, total = cell.units(decimals), trials(published, cell)
    below, above = grim.neighbours(units, total, decimals)
    printed = len(cell.text.partition(".")[2])
    numbers = range(1, published.facts["most_runs"] + 1)
    return {
        "cell": cell.name,
        "printed": cell.text,
        "trials": total,
        "below": {"count": below, "percent": round(100 * below / total, 4)},
        "above": {"count": above, "percent": round(100 * above / total, 4)},
        "decimals_that_reach_it": [
            d for d in range(printed, decimals) if grim.is_reachable(cell.units(d), total, d).all()
        ],
        "runs_that_reach_it": [n for n in numbers if grim.is_reachable(units, n * items, decimals).all()],
        "rounding_of_runs_that_reaches_it": [
            d
            for d in range(decimals + 1)
            if grim.is_reachable_from_rounded_runs(units, items, runs, run_decimals=d, decimals=decimals)
        ],
    }


def check_reachable_cells(published: Published) -> Finding:
    decimals, cells = published.facts["decimals"], published.table3
    missed, truncated = unreachable_cells(published), unreachable_cells(published, "truncated")
    explained = [explain_unreachable(published, cell) for cell in missed]
    halves = sum(grim.count_halves(total, decimals) for total in {trials(published, cell) for cell in cells})
    method = "GRIM test in whole numbers: a cell is reachable when some count / (runs x items) rounds to it. "
    if halves:
        method += f"{halves} counts lie exactly between two printed values; for them either rounding is accepted."
    else:
        method += "No count lies exactly between two printed values, so rounding halves up or to even is the same here."
    names = "; ".join(f"{cell.text} ({cell.name})" for cell in missed) or "none"
    answer = (
        f"{len(cells) - len(missed)} of {len(cells)} cells are reachable when rounded to the nearest, "
        f"{len(cells) - len(truncated)} when cut off. Not reachable by rounding: {names}."
    )
    tables = [_cells_by_task(published, missed, truncated), _unreachable_table(explained)]
    data = {"cells": len(cells), "unreachable": explained, "truncated_unreachable": len(truncated), "halves": halves}
    question = (
        "Is each accuracy a number of right answers over the evaluation set (k = 0: one run, k > 0: mean of "
        f"{published.runs(max(published.shots))} runs), printed with {decimals} decimals?"
    )
    by_hand = _neighbours_in_words(explained[0]) if explained else ""
    return Finding(
        name="reachable",
        title="Which cells are means of counts",
        question=question,
        method=method,
        answer=answer,
        tables=tables,
        by_hand=by_hand,
        data=data,
    )


def _neighbours_in_words(entry: dict[str, Any]) -> str:
    below, above = entry["below"], entry["above"]
    return (
        f"{below['count']:,} of {entry['trials']:,} is {below['percent']} %, "
        f"{above['count']:,} is {above['percent']} %; "
        f"no count lies between them, and neither is printed {entry['printed']}."
    )


def _cells_by_task(published: Published, missed: Sequence[PublishedCell], truncated: Sequence[PublishedCell]) -> Table:
    rows = []
    for task in published.tasks:
        counts = [sum(cell.task == task for cell in cells) for cells in (published.table3, missed, truncated)]
        reached = [str(counts[0] - count) for count in counts[1:]]
        name = published.facts["tasks"][task]["set"]
        rows.append([task, name, f"{published.items(task):,}", str(counts[0]), *reached])
    return Table(
        "Cells by task", ["Task", "Evaluation set", "Items", "Cells", "Reached, rounded", "Reached, cut off"], rows
    )


def _unreachable_table(explained: Sequence[dict[str, Any]]) -> Table:
    def listed(numbers: Sequence[int], nothing: str) -> str:
        return ", ".join(map(str, numbers)) or nothing

    rows = [
        [
            entry["cell"],
            entry["printed"],
            *(
                f"{entry[side]['count']}/{entry['trials']} = {entry[side]['percent']:.4f}"
                for side in ("below", "above")
            ),
            listed(entry["decimals_that_reach_it"], "none"),
            listed(entry["runs_that_reach_it"], "none"),
            listed(entry["rounding_of_runs_that_reaches_it"], "none"),
        ]
        for entry in explained
    ]
    header = [
        "Cell", "Printed", "Next count below", "Next count above", "Fewer decimals that reach it",
        "Other numbers of runs that do", "Decimals each run may have been rounded to before",
    ]  # fmt: skip
    return Table("The cells not reached, and what would reach them", header, rows)


def check_power(published: Published) -> Finding:
    decimals = published.facts["decimals"]
    counts = sorted({published.runs(k) for k in published.shots})
    power = {
        task: {runs: grim.detection_power(runs * published.items(task), decimals) for runs in counts}
        for task in published.tasks
    }
    percent = {task: [f"{100 * value:.1f} %" for value in by_runs.values()] for task, by_runs in power.items()}
    weak = [task for task, by_runs in power.items() if max(by_runs.values()) < 0.05]
    strong = ", ".join(f"{task} {' and '.join(percent[task])}" for task in power if task not in weak)
    words = " and ".join(f"{runs} run{'s' if runs > 1 else ''}" for runs in counts)
    answer = f"A value typed at random would be found out, for {words}: {strong}."
    if weak:
        answer += f" For {', '.join(weak)} the test has almost no power, so passing it means nothing there."
    rows = [[task, f"{published.items(task):,}", *percent[task]] for task in power]
    table = Table("Chance that a wrong value is found out", ["Task", "Items", *(f"runs: {n}" for n in counts)], rows)
    method = "Share of the printable values from 0 to 100 % that no count reaches, by task and number of runs."
    data = {task: {str(runs): value for runs, value in by_runs.items()} for task, by_runs in power.items()}
    question = "How likely is the test above to find a wrong value out?"
    return Finding(
        name="power",
        title="How much the test can see",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=data,
    )


def fit_sizes(published: Published, task: str) -> dict[str, Any]:
    """How well sizes of evaluation set explain the cells of a task.

    Returns:
        cells, items and fitting (cells the assumed size reaches); tried_near and as_good_near (the sizes from half to
        twice it that reach as many); smallest_complete (the smallest size that reaches all) or None; others.
    """
    decimals, items = published.facts["decimals"], published.items(task)
    own = [cell for cell in published.table3 if cell.task == task]
    units, runs = [cell.units(decimals) for cell in own], [published.runs(cell.k) for cell in own]
    sizes = np.arange(1, max(published.facts["most_items"], 2 * items) + 1)
    counts = grim.count_fitting(units, runs, sizes, decimals)
    near = sizes[(sizes >= items / 2) & (sizes <= 2 * items)]
    complete = sizes[counts == len(own)]
    return {
        "cells": len(own),
        "items": items,
        "fitting": int(counts[items - 1]),
        "tried_near": len(near),
        "as_good_near": near[counts[near - 1] >= counts[items - 1]].tolist(),
        "smallest_complete": int(complete[0]) if len(complete) else None,
        "others": {
            name: int(grim.count_fitting(units, runs, [size], decimals)[0])
            for name, size in published.facts["tasks"][task]["others"].items()
        },
    }


def check_sizes(published: Published) -> Finding:
    fits = {task: fit_sizes(published, task) for task in published.tasks}
    told = {task: fit for task, fit in fits.items() if len(fit["as_good_near"]) < FEW * fit["tried_near"]}
    named = "; ".join(f"{task} {', '.join(f'{n:,}' for n in fit['as_good_near'])}" for task, fit in told.items())
    answer = f"Of all sizes from half to twice the assumed one, those that reach as many cells: {named or 'too many'}."
    answer += " A multiple of a size reaches at least what the size does."
    if untold := [task for task in fits if task not in told]:
        answer += f" For {', '.join(untold)} the digits do not tell the size."
    rows = []
    for task, fit in fits.items():
        shown = ", ".join(f"{size:,}" for size in fit["as_good_near"][:5])
        complete = f"{fit['smallest_complete']:,}" if fit["smallest_complete"] else "none"
        others = "; ".join(f"{name}: {count}" for name, count in fit["others"].items())
        rows.append([
            task, f"{fit['items']:,}", f"{fit['fitting']} of {fit['cells']}",
            f"{len(fit['as_good_near']):,} of {fit['tried_near']:,}",
            shown + (", \u2026" if len(fit["as_good_near"]) > 5 else ""), complete, others,
        ])  # fmt: skip
    header = [
        "Task", "Assumed size", "Cells it reaches", "Sizes near it that reach as many", "These",
        "Smallest size that reaches all", "Cells other public sets reach",
    ]  # fmt: skip
    method = "Every size is tried with the stated numbers of runs; near means from half to twice the assumed size."
    question = "Which sizes of evaluation set can have produced the cells of each task?"
    table = Table("Sizes of evaluation set", header, rows)
    return Finding(
        name="sizes",
        title="Which evaluation sets fit",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=fits,
    )


def check_runs(published: Published) -> Finding:
    decimals, counts = published.facts["decimals"], range(1, published.facts["most_runs"] + 1)
    several = [cell for cell in published.table3 if published.runs(cell.k) > 1]
    fits = {
        task: {
            runs: sum(
                bool(grim.is_reachable(cell.units(decimals), runs * published.items(task), decimals))
                for cell in several
                if cell.task == task
            )
            for runs in counts
        }
        for task in published.tasks
    }
    totals = {runs: sum(by_runs[runs] for by_runs in fits.values()) for runs in counts}
    stated = published.runs(max(published.shots))
    rivals = [count for runs, count in totals.items() if runs % stated]
    answer = f"{stated} runs reach {totals.get(stated, 0)} of {len(several)} cells; "
    answer += f"numbers of runs that are not a multiple of {stated} reach at most {max(rivals, default=0)}."
    rows = [[task, *map(str, by_runs.values())] for task, by_runs in fits.items()]
    table = Table("Cells with k > 0 reached, by number of runs", ["Task", *map(str, counts)], rows)
    data = {"cells": len(several), "reached": {str(runs): count for runs, count in totals.items()}}
    question = f"Are the cells with in-context examples means of {stated} runs, as section 5.1 says?"
    method = "The same test with other numbers of runs over the same evaluation sets."
    return Finding(
        name="runs",
        title="How many runs a mean is made of",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=data,
    )


def repeated_rows(published: Published) -> list[dict[str, Any]]:
    """Pairs of rows with the same values for a task at every k.

    Returns:
        rows (their two names), task, values, cells (their keys), and the chance that two models of equal true accuracy
        and independent answers agree in every digit.
    """
    blocks: dict[tuple[str, str, str], list[PublishedCell]] = {}
    for cell in published.table3:
        blocks.setdefault((cell.model, cell.method, cell.task), []).append(cell)
    found = []
    for one, other in itertools.combinations(blocks.values(), 2):
        values = [[(cell.k, cell.percent) for cell in block] for block in (one, other)]
        if len(one) > 1 and one[0].task == other[0].task and values[0] == values[1]:
            found.append(
                {
                    "rows": [block[0].row for block in (one, other)],
                    "task": one[0].task,
                    "values": [cell.text for cell in one],
                    "cells": [cell.name for cell in (*one, *other)],
                    "chance": math.prod(_agreement_chance(published, cell) for cell in one),
                }
            )
    return found


def _agreement_chance(published: Published, cell: PublishedCell) -> float:
    """One run's worth of answers: means of several runs lie on a finer grid and agree more rarely."""
    share = cell.percent / 100
    return min(1.0, same_value_chance(share, published.items(cell.task))) if 0 < share < 1 else 1.0


def doubtful_cells(published: Published) -> set[str]:
    """Names of the cells that are not reachable or are in a repeated row."""
    repeated = {name for entry in repeated_rows(published) for name in entry["cells"]}
    return repeated | {cell.name for cell in unreachable_cells(published)}


def check_repeated_rows(published: Published) -> Finding:
    repeated = repeated_rows(published)
    inside = {name for entry in repeated for name in entry["cells"]}
    single = [
        f"{one.name} = {other.name} = {one.text}"
        for one, other in itertools.combinations(published.table3, 2)
        if one.task == other.task and one.percent == other.percent and not {one.name, other.name} <= inside
    ]
    rows = [[entry["task"], *entry["rows"], ", ".join(entry["values"]), f"{entry['chance']:.0e}"] for entry in repeated]
    answer = "; ".join(
        f"{task}: {other} repeats {one} ({values}; chance at most {chance})"
        for task, one, other, values, chance in rows
    )
    answer = (
        f"{answer or 'No row repeats another'}. Single equal values elsewhere in a task: {'; '.join(single) or 'none'}."
    )
    method = (
        "All pairs of rows are compared. The chance is that of two models with equal true accuracies and independent "
        "answers agreeing in every digit, for one run's worth of answers; models of unequal accuracy and means of "
        "several runs agree more rarely. Single equal values mean little."
    )
    table = Table("Repeated rows", ["Task", "Row", "Repeated by", "Values by k", "Chance"], rows)
    data = {"repeated": repeated, "single": single}
    question = "Do two rows of Table 3 have the same values for a task?"
    return Finding(
        name="repeated",
        title="Repeated rows",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=data,
    )
