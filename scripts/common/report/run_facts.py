"""What a finished run found, small enough to keep: hashes of data and weights, every verdict, the cells of all tables.

It is read from the files behind the tables; what an earlier configuration left in the folder stays out. What differs
between equal runs is no fact: durations, dates, commits, paths.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from common.base.errors import UserError
from common.config.methods import METHODS
from common.evaluation.scoring import SCORINGS
from common.files.csv_files import read_columns
from common.files.parquet import read_parquet
from common.files.whole_files import canonical_json, read_record, sha256_of_text
from common.tables.cells import CELL_COLUMNS

FORMAT = 1
# Words in the names of columns that no two runs share.
NOT_COMPARED = frozenset({"hours"})
# What a record says of its machine that decides last digits.
KIND = ("machine", "cpu", "cpu_capability", "threads", "gpus", "kernels")
# Folders of the results in which the sources of cells lie.
SCORES, SAMPLES, MODELS = ("eval/", "markers/"), "samples/", "models/"
# Digits of the hashes that tell questions and responses apart.
SHORT = 8
Facts = dict[str, Any]


def run_facts(results: Path) -> Facts:
    """The facts of a finished run, ready for JSON.

    Args:
        results: results folder of a preset, which bears its name.

    Returns:
        format; preset; machines: the kinds that computed; versions by package; data: hashes by name; items: hashes of
        the questions that were asked, by task and id; settings by their hash; models, scores and samples by path, each
        with rule, settings and code; tables: the hash of the text, and value, n and source of each cell.

    Raises:
        UserError: when the run is not finished, or a file behind its tables is damaged or of another configuration.
    """
    tables = _tables(results)
    behind = _behind(results, tables)
    models = {name: read_record(_there(results, f"{name}/run.json")) for name in _checkpoints(results, behind)}
    answered = [name for name in behind if name.startswith((*SCORES, SAMPLES))]
    answers = {name: read_record(_there(results, f"{name}.json")) for name in answered}
    made = [record["provenance"] for record in (*models.values(), *answers.values())]
    scores, asked = _scores(results, {name: answers[name] for name in answered if name.startswith(SCORES)})
    samples = {name: answers[name] for name in answered if name.startswith(SAMPLES)}
    return {
        "format": FORMAT,
        "preset": results.name,
        "machines": _distinct({key: one["hardware"].get(key) for key in KIND} for one in made),
        "versions": {name: _distinct(one["versions"].get(name) for one in made) for name in made[0]["versions"]},
        "data": _data(results, asked),
        "items": {task: _items(results, task, ids) for task, ids in asked.items()},
        "settings": {one["settings_hash"]: one["settings"] for one in made},
        "models": {name: {**_made(record), **_trained(record)} for name, record in models.items()},
        "scores": scores,
        "samples": {name: {**_made(record), **_sampled(results, name)} for name, record in samples.items()},
        "tables": tables,
    }


def read_facts(path: Path) -> Facts:
    """Facts that were kept in a file.

    Raises:
        UserError: when it is missing, damaged, or of another format.
    """
    facts = read_record(path)
    if facts.get("format") != FORMAT:
        remedy = "make it again with this version: make expected"
        raise UserError(f"the facts of a run are not of format {FORMAT}", str(path), remedy)
    return facts


def _there(results: Path, name: str) -> Path:
    """A file of the results, or whatever a pattern matches, that a finished run has."""
    if not any(results.glob(name)):
        remedy = f"run `make run PRESET={results.name}` to its end first"
        raise UserError("there is no finished run", str(results / name), remedy)
    return results / name


def _distinct(values: Iterable[Any]) -> list[Any]:
    return [json.loads(text) for text in sorted({canonical_json(value) for value in values})]


def _hash(value: Any) -> str:
    """Of content, not of bytes: libraries of another version write other bytes for the same rows."""
    return sha256_of_text(json.dumps(value, sort_keys=True))[:16]


def _rows(results: Path, name: str, columns: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Rows of a parquet file that has at least these columns.

    Raises:
        UserError: when it is not there, cannot be read, or lacks one.
    """
    path = _there(results, name)
    rows = read_parquet(path)
    if missing := sorted({*columns} - {*(rows or [{}])[0]}):
        what = f"a file of the run lacks the columns {', '.join(missing)}"
        raise UserError(what, str(path), "delete it and what was made with it, and run again")
    return rows


# --- tables, and what lies behind them ---------------------------------------------------------------------------


def _tables(results: Path) -> dict[str, Facts]:
    """Text and cells of every table that the last run collected."""
    collected = read_columns(_there(results, "tables/cells.csv"), CELL_COLUMNS)
    return {name: _table(results, name) for name in dict.fromkeys(row["table"] for row in collected)}


def _table(results: Path, name: str) -> Facts:
    text = read_columns(_there(results, f"tables/{name}.csv"), ())
    lines = read_columns(_there(results, f"tables/{name}_cells.csv"), CELL_COLUMNS)
    cells = [row for row in lines if _is_compared(row["column"])]
    shown = [[(column, value) for column, value in row.items() if _is_compared(column)] for row in text]
    return {
        "text": _hash([shown, cells]),
        "cells": {row["cell"]: [row["value"], row["n"], row["source"]] for row in cells},
    }


def _is_compared(column: str) -> bool:
    return not NOT_COMPARED.intersection(re.findall("[a-z]+", column.lower()))


def _behind(results: Path, tables: Mapping[str, Facts]) -> list[str]:
    """The results that the cells of all tables come from, without their suffixes."""
    sources = {source for table in tables.values() for _, _, source in table["cells"].values()}
    patterns = {part.strip() for source in sources for part in source.split(";")}
    ours = [name for name in patterns if name.startswith((*SCORES, SAMPLES, MODELS)) and ".." not in name]
    for name in sorted(ours):
        _there(results, name)
    found = {path.relative_to(results).with_suffix("") for name in ours for path in results.glob(name)}
    return sorted(path.as_posix() for path in found)


def _checkpoints(results: Path, behind: Sequence[str]) -> list[str]:
    """The checkpoints behind the tables, and those they were trained from."""
    found: set[tuple[str, str]] = set()
    waiting = {PurePath(name).parts[1:3] for name in behind}
    while waiting:
        model, method = waiting.pop()
        found.add((model, method))
        starts = METHODS[method].starts_from if method in METHODS else ()
        here = {(model, start) for start in starts if (results / MODELS / model / start).is_dir()}
        waiting |= here - found
    return sorted(f"{MODELS}{model}/{method}" for model, method in found)


# --- what was made, and how --------------------------------------------------------------------------------------


def _made(record: Facts) -> Facts:
    """The rule that made a result, its settings and its code."""
    made = record["provenance"]
    return {"rule": made["rule"], "settings": made["settings_hash"], "code": made["script_digest"]}


def _trained(record: Facts) -> Facts:
    """Weights, and what was measured on held-out examples."""
    losses, pairs = record.get("heldout_loss") or {}, record.get("heldout_pairs") or {}
    measured = {f"held-out loss {time}": losses[time] for time in ("before", "after") if time in losses}
    measured |= {"held-out pair accuracy": pairs["accuracy"]} if pairs else {}
    return {"weights": record["weights_sha256"], "heldout": measured}


def _data(results: Path, tasks: Iterable[str]) -> dict[str, str]:
    """Hashes of the instructions, their splits and the questions of the tasks."""
    splits = sorted(path.stem for path in results.glob("data/splits/*.parquet"))
    names = ["instructions", *(f"splits/{name}" for name in splits)]
    names += [f"tasks/{task}/{part}" for task in tasks for part in ("train", "eval")]
    return {name: _hash(_rows(results, f"data/{name}.parquet")) for name in names}


def _items(results: Path, task: str, ids: Sequence[str]) -> dict[str, str]:
    """Short hashes of the questions asked, by id."""
    questions = {row["id"]: row for row in _rows(results, f"data/tasks/{task}/eval.parquet", ("id",))}
    return {name: _hash(questions.get(name))[:SHORT] for name in ids}


def _scores(results: Path, records: Mapping[str, Facts]) -> tuple[dict[str, Facts], dict[str, list[str]]]:
    """Facts of each score file, and by task the ids of the items, in whose order the verdicts stand.

    Raises:
        UserError: when the files of a task have different items, so that they are not of one run.
    """
    asked: dict[str, list[str]] = {}
    scores = {}
    for name, record in records.items():
        rows = _rows(results, f"{name}.parquet", ("id", "prompt_hash", *SCORINGS.values()))
        ids, task = [row["id"] for row in rows], PurePath(name).parent.name
        if asked.setdefault(task, ids) != ids:
            remedy = "delete what an earlier configuration left, and run again"
            raise UserError(f"the score files of {task} have different items", f"{results / name}.parquet", remedy)
        scores[name] = {
            **_made(record),
            "prompts": _hash([row["prompt_hash"] for row in rows]),
            "answers": _hash(rows),
            "verdicts": {
                scoring: "".join("01"[bool(row[column])] for row in rows) for scoring, column in SCORINGS.items()
            },
        }
    return scores, asked


def _sampled(results: Path, name: str) -> Facts:
    """Short hash and reward of the response to each prompt."""
    rows = _rows(results, f"{name}.parquet", ("id", "response", "reward"))
    return {"responses": {row["id"]: [_hash(row["response"])[:SHORT], row["reward"]] for row in rows}}
