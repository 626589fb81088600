"""From a cell of any table to the runs, predictions, code, configuration and data behind it.

python scripts/trace_cell.py --results results/demo --cell table3/smollm2-135m/coh/sst2/k1
"""

import common.base.quick_start

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.methods import METHODS
from common.data.rows import read_rows
from common.evaluation.samples import HELDOUT
from common.evaluation.scoring import SCORINGS
from common.files.whole_files import canonical_json, read_json, sha256_of_file
from common.jobs.console import Console, run_entry_point

ITEMS_SHOWN = 3


def find_cell(results: Path, name: str) -> dict[str, Any]:
    """The line of cells.csv.

    Raises:
        UserError: when there are no results, no cell is named, or none has that name; then with the nearest ones.
    """
    table = results / "tables" / "cells.csv"
    if not table.is_file():
        raise UserError("there are no results", str(table), f"run `make run PRESET={results.name}` first")
    cells = {row["cell"]: row for _, row in read_rows(table)}
    if not name:
        example = next((cell for cell in cells if cell.startswith("table3/")), next(iter(cells), ""))
        remedy = f"give CELL=, the first column of that file, for example CELL={example}"
        raise UserError("no cell is named", str(table), remedy)
    if name not in cells:
        near = difflib.get_close_matches(name, list(cells), n=3, cutoff=0.3)
        raise UserError(f"there is no cell `{name}`", str(table), f"near it: {', '.join(near) or 'nothing'}")
    return cells[name]


def source_files(results: Path, source: str) -> list[Path]:
    """Files a cell names as its source: patterns inside the results folder, or files of the project."""
    found: list[Path] = []
    for pattern in filter(None, (part.strip() for part in source.split(";"))):
        for folder in (results, ROOT):
            if matches := sorted(folder.glob(pattern)):
                found += [
                    path for match in matches for path in (sorted(match.glob("*.*")) if match.is_dir() else [match])
                ]
                break
    return found


def indented(depth: int, lines: Iterator[str]) -> Iterator[str]:
    yield from (f"{'  ' * depth}{line}" for line in lines)


class Trace:
    """Lines on a cell, from its value to the data; a result behind several others is described once.

    Args:
        results: results folder of the preset.
    """

    def __init__(self, results: Path):
        self.results = results
        self.told: set[str] = set()
        self.heldout = False  # whether the cell is about held-out prompts alone
        self.verdict = SCORINGS["generation"]

    def cell(self, name: str) -> Iterator[str]:
        """Everything behind one cell.

        Raises:
            UserError: when there is no such cell, or a file it came from is gone.
        """
        cell = find_cell(self.results, name)
        if cell["table"] == "sensitivity":
            self.verdict = SCORINGS[cell["row"].rpartition("/")[2]]
        self.heldout = cell["table"] == "table5"
        yield f"{cell['cell']} = {cell['value']} (standard error {cell['stderr'] or 'none'}, n {cell['n'] or 'none'})"
        rendered = read_json(self.results / "tables" / f"{cell['table']}.json")["provenance"]
        yield f"- {self.results}/tables/{cell['table']}.json"
        yield from indented(2, self.provenance(rendered))
        files = source_files(self.results, cell["source"])
        if not files:
            remedy = "run the workflow again"
            raise UserError("the files behind a cell are gone", f"{cell['cell']}: {cell['source']}", remedy)
        for path in files:
            yield from self.file(path)
        yield from self.instructions()

    def provenance(self, record: dict[str, Any]) -> Iterator[str]:
        """How a result was made: rule, script at commit, configuration, versions, inputs."""
        commit = record.get("commit") or "unknown commit"
        dirty = ", with uncommitted changes" if record.get("dirty") else ""
        yield f"rule {record['rule']}, {record['script']} at {commit}{dirty}, digest {record['script_digest']}"
        yield f"seed {record.get('seed')}, {record.get('seconds')} s"
        yield from self.once(f"configuration {record['settings_hash']}", canonical_json(record["settings"]))
        yield from self.once("versions", ", ".join(f"{name} {v}" for name, v in record.get("versions", {}).items()))
        for name, digest in record.get("inputs", {}).items():
            yield f"input {name}: sha256 {digest}"

    def once(self, title: str, text: str) -> Iterator[str]:
        """`title: text`, or only the title if the text was printed before."""
        yield f"{title}, as above" if f"{title}: {text}" in self.told else f"{title}: {text}"
        self.told.add(f"{title}: {text}")

    def file(self, path: Path) -> Iterator[str]:
        """One source file: its provenance, some of its rows, the task's data, and the model behind it."""
        yield f"- {path}"
        if path.is_relative_to(ROOT / "resources"):
            yield f"    published: sha256 {sha256_of_file(path)}"
            return
        record = read_json(path) if path.suffix == ".json" else {}
        provenance = record.get("provenance", {}) if isinstance(record, dict) else {}
        yield from indented(2, self.provenance(provenance) if provenance else iter(()))
        if path.suffix == ".parquet":
            yield from indented(2, self.rows(path))
        settings = provenance.get("settings", {})
        if provenance.get("rule") == "sample_responses":
            yield from self.model(self.owner("reward", "", provenance["inputs"]), "reward", 2)
        if "task" in settings:
            yield from indented(2, self.task(settings["task"]))
        if "model" in settings and "method" in settings:
            yield from self.model(settings["model"], settings["method"], 2)

    def rows(self, path: Path) -> Iterator[str]:
        """The first predictions of a file."""
        rows = [row for _, row in read_rows(path) if not self.heldout or row.get("source", HELDOUT) == HELDOUT]
        yield f"{len(rows)} predictions, the first:"
        for row in rows[:ITEMS_SHOWN]:
            answer = row.get("generation", row.get("response"))
            verdict = {True: ", right", False: ", wrong"}.get(row.get(self.verdict), "")
            reward = f", reward {row['reward']:.3f}" if "reward" in row else ""
            yield f"  {row['id']}: {answer!r}{verdict}{reward}"

    def task(self, name: str) -> Iterator[str]:
        """The data of a task."""
        path = self.results / "data" / "tasks" / name / "summary.json"
        if str(path) not in self.told:
            self.told.add(str(path))
            yield f"data {path}"
            yield from indented(1, self.provenance(read_json(path)["provenance"]))

    def instructions(self) -> Iterator[str]:
        """The data every checkpoint was trained on."""
        path = self.results / "data" / "instructions.json"
        yield f"data {path}"
        yield from indented(1, self.provenance(read_json(path)["provenance"]))
        manifest = self.results / "data" / "splits" / "manifest.json"
        yield f"data {manifest}: {read_json(manifest)['counts']}"

    def owner(self, method: str, model: str, inputs: Mapping[str, str]) -> str:
        """The model whose checkpoint of a method is among a result's inputs: by its record's hash, else `model`."""
        records = sorted((self.results / "models").glob(f"*/{method}/run.json"))
        used = [path.parent.parent.name for path in records if sha256_of_file(path) in inputs.values()]
        return next(iter(used), model)

    def model(self, model: str, method: str, depth: int) -> Iterator[str]:
        """A checkpoint and what it was trained from."""
        folder = self.results / "models" / model / method
        if str(folder) in self.told:
            return
        self.told.add(str(folder))
        facts = read_json(folder / "run.json")
        yield f"{'  ' * depth}model {folder}: weights {facts['weights_sha256'][:16]}"
        yield from indented(depth + 1, self.provenance(facts["provenance"]))
        for start in METHODS[method].starts_from if method in METHODS else ():
            yield from self.model(self.owner(start, model, facts["provenance"]["inputs"]), start, depth + 1)


def work(arguments: argparse.Namespace, console: Console) -> None:
    for line in Trace(arguments.results).cell(arguments.cell):
        print(line)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results folder of a preset")
    parser.add_argument("--cell", required=True, help="first column of tables/cells.csv")
    parser.set_defaults(log=None)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
