"""What the report page says of a run, read from its results."""

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.console import format_seconds
from common.files import canonical_json, read_json
from common.generations import Collector, Generations
from common.rows import read_rows

GRID_TABLES = ("table3", "sensitivity", "markers", "comparison", "paired")


def provenance_records(results: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The provenance block of every JSON result of a run that has one, by its path relative to the results.

    Args:
        results: results folder of the preset.
        settings: which of them are of the run (`run_settings`).
    """
    patterns = ("data/**/*.json", "models/*/*/run.json", "eval/**/*.json", "markers/**/*.json", "human_eval/*.json",
                "tables/*.json", "report/*.json")  # fmt: skip
    records = {}
    for path in sorted(path for pattern in patterns for path in results.glob(pattern)):
        place = path.relative_to(results)
        content = read_json(path) if _is_of(place, settings) else None
        if isinstance(content, dict) and content.get("provenance"):
            records[place.as_posix()] = content["provenance"]
    return records


def _is_of(place: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a result is of the run, and not left from an earlier configuration."""
    stage, *names = place.with_suffix("").parts
    if stage == "models":
        return "/".join(names[:2]) in settings["checkpoints"]
    if stage == "eval" and "/".join(names[:2]) not in settings["checkpoints"]:
        return False
    if stage == "markers" and "/".join(names[1:3]) not in settings["crossed"]:
        return False
    if stage in ("eval", "markers"):
        draws = [f"k{k}_seed{seed}" for k, seed in settings["draws"]]
        return names[0] in settings["models"] and names[-2] in settings["tasks"] and names[-1] in draws
    if stage == "data" and names[0] == "tasks":
        return names[1] in settings["tasks"]
    return stage != "tables" or names[0] in settings["tables"]


def run_facts(settings: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Commits, hardware, versions and durations of all jobs that left a record; one of several files counts once."""
    values = list({canonical_json(record): record for record in records.values()}.values())
    made = [record for path, record in records.items() if path.startswith(("data/", "models/", "eval/", "markers/"))]
    starts = [datetime.datetime.fromisoformat(record["started"]) for record in made]
    ends = [start + datetime.timedelta(seconds=record["seconds"]) for start, record in zip(starts, made, strict=True)]
    return {
        "preset": settings["preset"],
        "seed": settings["seed"],
        "commits": _counted(record.get("commit") or "unknown" for record in values),
        "dirty": sum(bool(record.get("dirty")) for record in values),
        "records": len(values),
        "hardware": _counted(_hardware(record.get("hardware", {})) for record in values),
        "versions": dict(sorted(_versions(values).items())),
        "first": _told(min(starts)) if starts else "",
        "last": _told(max(ends)) if ends else "",
        "rules": _by_rule(values),
    }


def _told(time: datetime.datetime) -> str:
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _counted(texts: Iterable[str]) -> list[dict[str, Any]]:
    return [{"text": text, "count": count} for text, count in Counter(texts).most_common()]


def _hardware(hardware: Mapping[str, Any]) -> str:
    gpus = ", ".join(f"{count} x {name}" for name, count in Counter(hardware.get("gpus", [])).items())
    return f"{gpus or 'no GPU'}; {hardware.get('cpu', 'unknown CPU')}, {hardware.get('cpus', '?')} CPUs"


def _versions(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for record in records:
        for name, version in record.get("versions", {}).items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return {name: ", ".join(versions) for name, versions in found.items()}


def _by_rule(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records, summed seconds, script and digests of each rule."""
    rules: dict[str, dict[str, Any]] = {}
    for record in records:
        new = {"records": 0, "total": 0.0, "digests": set(), "script": record["script"]}
        rule = rules.setdefault(record["rule"], new)
        rule["records"] += 1
        rule["total"] += record["seconds"]
        rule["digests"].add(record["script_digest"])
    return [
        {"rule": name, **rule, "digests": sorted(rule["digests"]), "seconds": format_seconds(rule["total"])}
        for name, rule in rules.items()
    ]


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
    """A table's JSON with its rows in groups: a table whose first column is the model has a group a model."""
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
                stems += [stem for stem in found if (results / f"{stem}.json").exists()]
                tasks |= {stem: folder.rsplit("/", 1)[1] for stem in stems}
        values = {key: str(row[key]) for key in ("value", "stderr", "n", "source") if row[key]}
        cells[str(row["cell"])] = {**values, **({"runs": stems} if stems else {})}
    return cells, tasks


def collect_generations(results: Path, tasks: Mapping[str, str], count: int, seed: int) -> Generations:
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
