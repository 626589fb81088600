"""From a cell of any table to the runs, predictions, code, configuration and data behind it.

python scripts/trace_cell.py --results results/demo --cell table3/smollm2-135m/coh/sst2/k1
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.console import Console, run_entry_point
from common.errors import UserError
from common.files import read_json
from common.rows import read_rows

ITEMS_SHOWN = 3


def find_cell(results: Path, name: str) -> dict[str, Any]:
    """The line of cells.csv.

    Raises:
        UserError: naming the nearest cells when there is none of that name.
    """
    table = results / "tables" / "cells.csv"
    cells = {row["cell"]: row for _, row in read_rows(table)}
    if name not in cells:
        near = difflib.get_close_matches(name, list(cells), n=3, cutoff=0.3)
        raise UserError(f"there is no cell `{name}`", str(table), f"near it: {', '.join(near) or 'nothing'}")
    return cells[name]


def source_files(results: Path, source: str) -> list[Path]:
    """Files a cell names as its source: patterns inside the results folder, or files of the project."""
    found: list[Path] = []
    for pattern in filter(None, (part.strip() for part in source.split(";"))):
        for folder in (results, Path(__file__).resolve().parents[1]):
            if matches := sorted(folder.glob(pattern)):
                found += matches
                break
    return found


def describe(provenance: dict[str, Any]) -> Iterator[str]:
    """Lines on how a result was made."""
    commit = provenance.get("commit") or "unknown commit"
    dirty = ", with uncommitted changes" if provenance.get("dirty") else ""
    yield f"rule {provenance['rule']}, {provenance['script']} at {commit}{dirty}, digest {provenance['script_digest']}"
    yield f"settings {provenance['settings_hash']}, seed {provenance.get('seed')}, {provenance.get('seconds')} s"
    versions = provenance.get("versions", {})
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, digest in provenance.get("inputs", {}).items():
        yield f"input {name}: sha256 {digest}"


def trace_model(results: Path, model: str, method: str, seen: set[Path], depth: int) -> Iterator[str]:
    """Lines on a checkpoint and on what it was trained from."""
    folder = results / "models" / model / method
    record = folder / "run.json"
    if record in seen or not record.exists():
        return
    seen.add(record)
    facts = read_json(record)
    yield f"{'  ' * depth}model {folder}: weights {facts['weights_sha256'][:16]}"
    yield from (f"{'  ' * depth}  {line}" for line in describe(facts["provenance"]))
    starts = {"ppo": ["rl_sft", "reward"]}.get(method, [] if method == "pretrained" else ["pretrained"])
    for start in starts:
        owners = [path.parent.parent.name for path in sorted((results / "models").glob(f"*/{start}/run.json"))]
        owner = model if model in owners else next(iter(owners), model)
        yield from trace_model(results, owner, start, seen, depth + 1)


def trace_file(results: Path, path: Path, seen: set[Path]) -> Iterator[str]:
    """Lines on one source file: its provenance, some of its rows, and the model behind it."""
    yield f"- {path}"
    record = read_json(path) if path.suffix == ".json" else {}
    provenance = record.get("provenance", {}) if isinstance(record, dict) else {}
    if provenance:
        yield from (f"    {line}" for line in describe(provenance))
    if path.suffix == ".parquet":
        rows = [row for _, row in read_rows(path)]
        yield f"    {len(rows)} rows, the first:"
        for row in rows[:ITEMS_SHOWN]:
            answer = row.get("generation", row.get("response"))
            verdict = {True: ", right", False: ", wrong"}.get(row.get("correct"), "")
            yield f"      {row['id']}: {answer!r}{verdict}"
    settings = provenance.get("settings", {})
    if "model" in settings and "method" in settings:
        yield from trace_model(results, settings["model"], settings["method"], seen, 2)


def work(arguments: argparse.Namespace, console: Console) -> None:
    cell = find_cell(arguments.results, arguments.cell)
    print(f"{cell['cell']} = {cell['value']} (standard error {cell['stderr'] or 'none'}, n {cell['n'] or 'none'})")
    files = source_files(arguments.results, cell["source"])
    if not files:
        print(f"source: {cell['source']}")
    seen: set[Path] = set()
    for path in files:
        print("\n".join(trace_file(arguments.results, path, seen)))
    manifest = arguments.results / "data" / "splits" / "manifest.json"
    if manifest.exists():
        print(f"data: {manifest}: {read_json(manifest)['counts']}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results folder of a preset")
    parser.add_argument("--cell", required=True, help="first column of tables/cells.csv")
    parser.set_defaults(log=None)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
