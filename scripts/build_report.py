"""Build the report page: one file with tables, claims, audit, figures and the generations behind the cells."""

import common.base.quick_start

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2

from common.base.safe_html import content_security_policy, json_for_html
from common.data.rows import read_rows
from common.files.whole_files import read_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.report.page_data import (
    cell_index,
    claims_of,
    collect_generations,
    data_facts,
    load_table,
    model_facts,
    verdict_counts,
)
from common.report.run_records import provenance_records, run_summary
from common.report.svg import inline_svg
from common.stats.significance import LEVEL, p_value_number
from common.tables.language import Words, add_words_argument, words_of

SCRIPT_WORDS = {
    "right": "right", "wrong": "wrong", "empty": "(empty)", "seed": "seed", "rightOf": "right",
    "holds": "items on this page:", "stderr": "standard error",
}  # fmt: skip


def environment(folder: Path, words: Words) -> jinja2.Environment:
    """Templates that escape every value and refuse an unknown one."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"t": words, "p_value": p_value_number}
    return made


def paired_counts(results: Path) -> dict[str, int] | None:
    """Comparisons of two methods on a task and number of shots, and those with a difference; None without any."""
    if not (path := results / "tables" / "paired.csv").exists():
        return None
    rows = [row for _, row in read_rows(path)]
    return {"pairs": len(rows), "differ": sum(float(str(row["p_holm"])) <= LEVEL for row in rows)}


def overview(results: Path, claims: list[dict[str, Any]], table3: dict[str, Any]) -> dict[str, Any]:
    """The numbers at the head of the page."""
    findings = {
        finding["name"]: finding["data"] for finding in read_json(results / "report" / "audit.json")["findings"]
    }
    cells = [cell["text"] for body in table3["bodies"] for row in body["rows"] for cell in row if cell["cell"]]
    return {
        "cells": len(cells),
        "filled": sum(text != "missing" for text in cells),
        "compared": verdict_counts(results),
        "paired": paired_counts(results),
        "claims": dict(Counter(claim["published"]["at_n"] for claim in claims)),
        "sentences": len({claim["text"] for claim in claims}),
        "unreachable": len(findings["reachable"]["unreachable"]),
        "published_cells": findings["reachable"]["cells"],
        "repeated": len(findings["repeated"]["repeated"]),
        "example": next(
            cell["cell"] for body in table3["bodies"] for row in body["rows"] for cell in row if cell["cell"]
        ),
    }


def page(arguments: argparse.Namespace) -> str:
    """The page's HTML."""
    settings, results, words = arguments.settings, arguments.results, words_of(arguments)
    provenance = Provenance("build_report.py", settings)
    style, script = ((arguments.template / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    draws = [(int(k), int(seed)) for k, seed in settings["draws"]]
    cells, tasks = cell_index(results, draws)
    shown = collect_generations(results, tasks, settings["items_per_cell"], settings["seed"])
    tables = {name: load_table(results, name) for name in (path.stem for path in arguments.tables)}
    claims = claims_of(results, words.language)
    context = {
        "policy": content_security_policy(style, script),
        "style": style,
        "script": script,
        "data": json_for_html(
            {"cells": cells, "runs": shown.runs, "prompts": shown.prompts, "preset": settings["preset"]}
        ),
        "words_json": json_for_html({name: words(text) for name, text in SCRIPT_WORDS.items()}),
        "language": words.language,
        "run": run_summary(settings, provenance_records(results, settings)),
        "models": model_facts(settings, results),
        "data_facts": data_facts(settings, results),
        "overview": overview(results, claims, tables["table3"]),
        "notes": settings["notes"],
        "items_per_cell": settings["items_per_cell"],
        "tables": tables,
        "claims": claims,
        "traced": cells.keys(),
        "findings": read_json(results / "report" / "audit.json")["findings"],
        "figures": {path.stem: inline_svg(path, f"figure-{path.stem}") for path in arguments.figures},
        "record": provenance.record(n=len(cells)),
    }
    return environment(arguments.template, words).get_template("report.html.jinja").render(context)


def work(arguments: argparse.Namespace, console: Console) -> None:
    text = page(arguments)
    write_text(arguments.output, text)
    console.say(f"{len(text.encode()) / 1e6:.1f} MB: {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the preset")
    parser.add_argument(
        "--template", type=Path, required=True, help="directory of the page's template, CSS, JavaScript"
    )
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables as JSON")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="figures as SVG")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
