"""Audit of the published tables: each check answers one question from the printed numbers alone."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.files.whole_files import write_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.paper.audit_digits import check_power, check_reachable_cells, check_repeated_rows, check_runs, check_sizes
from common.paper.audit_findings import Finding, finding_markdown
from common.paper.audit_inference import (
    check_below_chance,
    check_noise,
    check_prompt_counts,
    check_ratings,
    check_sentences,
)
from common.paper.published import load_published, published_files
from common.tables.table import as_json, escape_markdown

CHECKS = (
    check_reachable_cells, check_power, check_sizes, check_runs, check_repeated_rows, check_below_chance, check_noise,
    check_ratings, check_prompt_counts, check_sentences,
)  # fmt: skip


def as_markdown(findings: list[Finding]) -> str:
    """The findings for a reviewer: a list of answers, then one section per check."""
    lines = [
        "# Audit of the published tables",
        "",
        "Checked: the numbers as printed, in `resources/paper`; nothing of this run enters. To reproduce:",
        "`python scripts/audit_paper.py --settings '{}' --paper resources/paper --output DIRECTORY`.",
        "",
        *(f"- **{escape_markdown(finding.title)}.** {escape_markdown(finding.answer)}" for finding in findings),
    ]
    return "\n".join(lines) + "\n\n" + "\n\n".join(map(finding_markdown, findings)) + "\n"


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("audit_paper.py", arguments.settings)
    published = load_published(arguments.paper)
    findings = [check(published) for check in CHECKS]
    content = [
        {
            "name": finding.name,
            "title": finding.title,
            "question": finding.question,
            "method": finding.method,
            "answer": finding.answer,
            "by_hand": finding.by_hand,
            "data": finding.data,
            "tables": [as_json(table) for table in finding.tables],
        }  # fmt: skip
        for finding in findings
    ]
    inputs = {path.name: path for path in published_files(arguments.paper)}
    write_json(arguments.output / "audit.json", {"findings": content, "provenance": provenance.record(inputs)})
    write_text(arguments.output / "audit.md", as_markdown(findings))
    for finding in findings:
        print(f"{finding.title}: {finding.answer}")
    console.say(f"{len(findings)} questions asked of the published numbers: {arguments.output}/audit.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--paper", type=Path, required=True, help="directory of the published numbers")
    parser.add_argument("--output", type=Path, required=True, help="directory of audit.json and audit.md")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
