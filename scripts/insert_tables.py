"""Write README.md and docs/demo.md again, with the tables of a finished run between their markers.

A page marks the place of a block with `<!-- begin NAME -->` and `<!-- end NAME -->`. The blocks are the tables by name,
`short` (a few lines of Table 3) and `training` (the held-out losses).
"""

import common.base.quick_start

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.config.methods import METHOD_LABELS
from common.files.whole_files import read_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.report.run_records import heldout_loss_told
from common.tables.table import Table, to_markdown

DASH, UNBROKEN_DASH = "\u2013", "\u2013\u2060"  # so that no line ends within an interval
Cells = dict[tuple[str, str, str, str], Mapping[str, Any]]
MARKER = re.compile(r"<!-- (?:begin|end) (\w+) -->")
PLACE = re.compile(r"(?P<begin><!-- begin (?P<name>\w+) -->\n).*?(?P<end><!-- end (?P=name) -->)", re.DOTALL)


def cells_of(table3: Mapping[str, Any]) -> Cells:
    """The cells of Table 3, as its JSON file holds them, by model, task, k and method.

    The lines of a cell's text are the mean, its interval and, for several draws, their range.
    """
    tasks = [group["title"] for group in table3["groups"][1:] for _ in range(group["columns"])]
    shots = [title.removeprefix("k=") for title in table3["header"][2:]]
    return {
        (model["text"], task, k, method["text"]): {**cell, "text": cell["text"].replace(DASH, UNBROKEN_DASH)}
        for model, method, *cells in table3["rows"]
        for task, k, cell in zip(tasks, shots, cells, strict=True)
    }


def names(cells: Cells) -> list[list[str]]:
    """Models, tasks, numbers of examples and methods, each in the order of the table."""
    return [list(dict.fromkeys(column)) for column in zip(*cells, strict=True)]


def full_table(table3: Mapping[str, Any]) -> Table:
    """Table 3 with a row per task and k and a column per method: narrow enough for a page on GitHub."""
    cells = cells_of(table3)
    models, tasks, shots, methods = names(cells)
    keys = [(model, task, k) for model in models for task in tasks for k in shots]
    found = [[cells[*key, method] for method in methods] for key in keys]
    first = 0 if len(models) > 1 else 1  # one model needs no column
    titles = ["Model", "Task", "k"][first:]
    return Table(
        caption=table3["caption"],
        header=[*titles, *methods],
        rows=[[*key[first:], *(cell["text"] for cell in row)] for key, row in zip(keys, found, strict=True)],
        bold=frozenset(
            (i, j + len(titles)) for i, row in enumerate(found) for j, cell in enumerate(row) if cell["bold"]
        ),
        notes=table3["notes"],
    )


def short_table(table3: Mapping[str, Any], preset: str) -> Table:
    """What the first model does with the fewest in-context examples: a row per task, each interval behind its mean."""
    cells = cells_of(table3)
    (model, *_), tasks, (k, *_), methods = names(cells)
    lines = [[cells[model, task, k, method]["text"].split("\n") for method in methods] for task in tasks]
    rows = [[mean + "".join(f" ({interval})" for interval in rest[:1]) for mean, *rest in row] for row in lines]
    return Table(
        caption=f"Accuracy in % (95 % interval) with {k} in-context examples: {model}, preset {preset}",
        header=["Task", *methods],
        rows=[[task, *row] for task, row in zip(tasks, rows, strict=True)],
    )


def turned(table5: Mapping[str, Any]) -> Table:
    """Table 5 with a column per method and a row per number, which is narrow enough for a page on GitHub."""
    groups = [group["title"] for group in table5["groups"] for _ in range(group["columns"])]
    titles = [f"{group}: {name}" if group else name for group, name in zip(groups, table5["header"], strict=True)]
    texts = [[cell["text"] for cell in row] for row in table5["rows"]]
    several = len({model for model, *_ in texts}) > 1
    methods = [f"{model}, {method}" if several else method for model, method, *_ in texts]
    rows = [[title, *(row[i] for row in texts)] for i, title in enumerate(titles) if i > 1]
    return Table(caption=table5["caption"], header=["", *methods], rows=rows, notes=table5["notes"])


def training_block(settings: Mapping[str, Any], models: Path) -> str:
    """A line per trained model."""
    lines = []
    for model in settings["models"]:
        for method in settings["trained"]:
            told = heldout_loss_told(read_json(models / model / method / "run.json")["heldout_loss"])
            lines.append(f"- {settings['labels'][model]}, {METHOD_LABELS[method]}: {told}.")
    return "\n".join(lines)


def fill_page(path: Path, blocks: Mapping[str, str]) -> str:
    """The text of a page, each block in its place.

    Raises:
        UserError: the page has no place for a block, a place without an end, or a place for an unknown block.
    """
    page = path.read_text(encoding="utf-8")
    places, marked = [place["name"] for place in PLACE.finditer(page)], MARKER.findall(page)
    if not places or sorted(marked) != sorted(2 * places) or not blocks.keys() >= set(places):
        what_to_do = f"put `<!-- begin NAME -->` and `<!-- end NAME -->` around it; NAME is one of {', '.join(blocks)}"
        raise UserError("a page does not say where its tables belong", str(path), what_to_do)
    return PLACE.sub(lambda place: f"{place['begin']}{blocks[place['name']]}\n{place['end']}", page)


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    blocks = {path.stem: path.read_text(encoding="utf-8").strip() for path in arguments.tables}
    table3 = read_json(arguments.table3)
    blocks["table3"] = to_markdown(full_table(table3)).strip()
    if arguments.table5:
        blocks["table5"] = to_markdown(turned(read_json(arguments.table5[0]))).strip()
    blocks["short"] = to_markdown(short_table(table3, settings["preset"])).strip()
    blocks["training"] = training_block(settings, arguments.models)
    for page in arguments.pages:
        write_text(arguments.output / page.name, fill_page(page, blocks))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument(
        "--pages", type=Path, nargs="+", required=True, help="Markdown pages with places for the tables"
    )
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="Markdown of the other tables")
    parser.add_argument("--table3", type=Path, required=True, help="JSON of Table 3")
    parser.add_argument("--table5", type=Path, nargs="*", default=[], help="JSON of Table 5, if the run has one")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the pages to")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
