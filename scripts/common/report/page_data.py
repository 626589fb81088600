"""What the report page shows about a run (models, data, tables, cells, claims), read from its results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.rows import read_rows
from common.files.whole_files import read_json
from common.report.shown_answers import Collector, ShownAnswers

GRID_TABLES = ("table3", "sensitivity", "markers", "comparison", "paired", "table5", "costs")


def model_facts(settings: Mapping[str, Any], results: Path) -> list[dict[str, Any]]:
    """Each base model: label, source, weights, note."""
    facts = []
    for name, model in settings["models"].items():
        record = read_json(results / "models" / name / "pretrained" / "run.json")
        source = model["source"]
        places = {
            "wheel": lambda s: f"{s['package']} {s['version']}, {s['file']}",
            "hub": lambda s: f"{s['repository']} at {s['revision']}",
            "local": lambda s: s["path"],
            "random": lambda s: f"random {s['architecture']}, seed {settings['seed']}",
        }
        weights = {"parameters": f"{record['parameters']:,}", "sha256": record["weights_sha256"]}
        described = {"label": model["label"], "note": model.get("note"), "published": model.get("published")}
        facts.append({"name": name, "source": places[source["kind"]](source), **described, **weights})
    return facts


def data_facts(settings: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """Instructions, splits and tasks."""
    manifest = read_json(results / "data" / "splits" / "manifest.json")
    tasks = [read_json(results / "data" / "tasks" / name / "summary.json") for name in settings["tasks"]]
    return {
        "found": manifest["prompts_found"],
        "used": manifest["prompts_used"],
        "splits": manifest["counts"],
        "ties": manifest["ties"],
        "tasks": [
            {"title": task["title"], "train": task["train"]["usable"], "eval": task["eval"]["usable"]} for task in tasks
        ],
    }


def load_table(results: Path, name: str) -> dict[str, Any]:
    """A table's JSON with its rows in groups: a table whose first column is the model has one group per model."""
    table = read_json(results / "tables" / f"{name}.json")
    if name not in GRID_TABLES:
        return {**table, "bodies": [{"title": None, "rows": table["rows"]}], "name": name}
    bodies: dict[str, list[Any]] = {}
    for row in table["rows"]:
        bodies.setdefault(row[0]["text"], []).append(row[1:])
    groups = table["groups"]
    if groups:
        groups = [{**groups[0], "columns": groups[0]["columns"] - 1}, *groups[1:]]
    grouped = [{"title": title, "rows": rows} for title, rows in bodies.items()]
    return {**table, "name": name, "header": table["header"][1:], "groups": groups, "bodies": grouped}


def cell_index(results: Path, draws: Sequence[tuple[int, int]]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Every cell's line of cells.csv with the runs behind it, and the task of each of these runs.

    Args:
        results: results folder of the preset.
        draws: (k, seed) of every run.
    """
    cells: dict[str, dict[str, Any]] = {}
    tasks: dict[str, str] = {}
    for _, row in read_rows(results / "tables" / "cells.csv"):
        stems = []
        for place in (part.strip() for part in row["source"].split(";")):
            folder, marked, k = place.removesuffix("_seed*").rpartition("/k")
            if marked and place.endswith("_seed*") and "*" not in folder:
                found = [f"{folder}/k{k}_seed{seed}" for shots, seed in draws if str(shots) == k]
                present = [stem for stem in found if (results / f"{stem}.json").exists()]
                tasks |= {stem: folder.rsplit("/", 1)[1] for stem in present}
                stems += present
        values = {key: str(row[key]) for key in ("value", "stderr", "n", "source") if row[key]}
        cells[str(row["cell"])] = {**values, **({"runs": stems} if stems else {})}
    return cells, tasks


def collect_generations(results: Path, tasks: Mapping[str, str], count: int, seed: int) -> ShownAnswers:
    """`count` items of each run, drawn by seed."""
    collector = Collector(results, count, seed)
    for stem in sorted(tasks) if count else []:
        collector.add(stem, tasks[stem])
    return collector.collected


def claims_of(results: Path, language: str) -> list[dict[str, Any]]:
    """The claims with their verdicts, worded in a language."""

    def worded(texts: Mapping[str, str] | None) -> str:
        return "" if texts is None else texts.get(language, texts["en"])

    claims = read_json(results / "report" / "claims.json")["claims"]
    return [{**claim, "text": worded(claim["text"]), "reading": worded(claim.get("reading"))} for claim in claims]


def verdict_counts(results: Path) -> dict[str, int]:
    """How often each verdict was given on a published cell of Table 3."""
    rows = [row for _, row in read_rows(results / "tables" / "comparison.csv")]
    return dict(Counter(str(row["verdict"]) for row in rows if row["table"] == "table3" and row["published"]))
