"""How a run was made, for page and crate: gathered from the provenance records its jobs left beside their results."""

import datetime
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from common.files.whole_files import canonical_json, read_json
from common.jobs.console import format_seconds


def provenance_records(results: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The provenance block of every JSON result of a run that has one, by its path relative to the results.

    Args:
        results: results folder of the preset.
        settings: which of them are of the run (`run_settings`).
    """
    records = {}
    for place in sorted(_places(settings)):
        path = results / place
        content = read_json(path) if path.exists() else None
        if isinstance(content, dict) and content.get("provenance"):
            records[place.as_posix()] = content["provenance"]
    return records


def _places(settings: Mapping[str, Any]) -> Iterator[PurePath]:
    """Where the JSON results of the run are; others may be left from an earlier configuration."""
    grid, tasks = settings["grid"], settings["tasks"]
    yield from map(PurePath, ("data/instructions.json", "data/splits/manifest.json"))
    yield from (PurePath("data/tasks", task, "summary.json") for task in tasks)
    yield from (PurePath("models", checkpoint, "run.json") for checkpoint in settings["checkpoints"])
    asked = [(PurePath("eval", checkpoint), grid["draws"]) for checkpoint in grid["evaluated"]]
    crossed = itertools.product(grid["models"], settings["crossed"])
    asked += [(PurePath("markers", model, pair), grid["marker_draws"]) for model, pair in crossed]
    for (folder, draws), task in itertools.product(asked, tasks):
        yield from (folder / task / f"k{k}_seed{seed}.json" for k, seed in draws)
    yield from (PurePath("human_eval", f"{name}.json") for name in ("items", "key", "summary"))
    yield from (PurePath("tables", f"{name}.json") for name in settings["tables"])
    yield from (PurePath("report", f"{name}.json") for name in settings["checks"])


def run_summary(settings: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
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
        "hardware": _counted(hardware_told(record.get("hardware", {})) for record in values),
        "versions": dict(sorted(_versions(values).items())),
        "first": _told(min(starts)) if starts else "",
        "last": _told(max(ends)) if ends else "",
        "rules": _by_rule(values),
    }


def _told(time: datetime.datetime) -> str:
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _counted(texts: Iterable[str]) -> list[dict[str, Any]]:
    return [{"text": text, "count": count} for text, count in Counter(texts).most_common()]


def hardware_told(hardware: Mapping[str, Any]) -> str:
    """A machine in words."""
    gpus = ", ".join(f"{count} x {name}" for name, count in Counter(hardware.get("gpus", [])).items())
    return f"{gpus or 'no GPU'}; {hardware.get('cpu', 'unknown CPU')}, {hardware.get('cpus', '?')} CPUs"


def heldout_loss_told(loss: Mapping[str, Any] | None, of: str = "prompts") -> str:
    """What training did to the loss on what it did not see, `of` how many of what."""
    if loss is None:
        return f"no {of} are held out in this configuration"
    low, high = loss["interval95"]
    return (
        f"held-out loss {loss['before']:.3f} before, {loss['after']:.3f} after training; "
        f"difference {loss['difference']:.3f} (95 % interval {low:.3f} to {high:.3f}, {loss['n']} {of})"
    )


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
