"""Every claim of the paper on the published numbers and on this run's."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files.whole_files import write_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.paper.audit_digits import doubtful_cells
from common.paper.claim_evidence import PublishedEvidence
from common.paper.claims import NOT_TESTED, STAGES, Verdict, check_published
from common.paper.claims_on_run import OwnVerdict, Run, check_run, load_run
from common.paper.published import Published, load_published, published_files
from common.stats.significance import p_value_number
from common.tables.table import Table, escape_markdown, to_markdown

Results = Mapping[str, tuple[Verdict, Sequence[OwnVerdict]]]

NONE = "\u2013"
PREFACE = """# Claims of the paper

Checked: what abstract, section 5.3 and conclusion state, in words of our own (`resources/paper/claims.yaml`), on the
numbers as printed and on this run's. To reproduce the published half:
`python scripts/check_claims.py --settings '{}' --paper resources/paper --output DIRECTORY`.

How to read the verdicts:

- *As printed* (for this run: as the numbers stand): holds when every comparison comes out as stated, else fails.
- *At n* says what the numbers can show for the items behind them, at the 5 % level after Holm's correction over the
  comparisons of the claim: holds (all are clear), fails (at least one is clearly the other way), undecided.
- The paper does not say which items were right, so its accuracies are compared by an approximate test for unpaired
  shares with the evaluation set's size (means of three runs count as one run, since the items are the same). *p, worst
  pairing* is the largest p-value any overlap of the right items could give; where the verdict does not depend on it,
  the table says so.
- This run's methods answered the same items and are compared by the paired tests of the table `paired`. Models that
  are not the paper's are checked all the same, but say nothing about the paper's; what the paper states of only one
  of its models is not comparable to them.
- Training again with another seed would add a spread that no verdict here includes.
"""


def probability(value: float | None) -> str:
    return NONE if value is None else p_value_number(value, below="< ")


def overview(claims: Sequence[Mapping[str, Any]], results: Results) -> Table:
    """One row per claim."""
    rows = []
    for claim in claims:
        verdict, own = results[claim["id"]]
        reading = f"\n({claim['reading']['en']})" if "reading" in claim else ""
        here = "\n".join(f"{one.models}: {one.verdict.at_n}" for one in own)
        rows.append(
            [
                claim["text"]["en"] + reading,
                ", ".join(claim["where"]),
                verdict.as_printed,
                verdict.at_n,
                here or "not run",
            ]
        )
    header = ["Claim", "Where", "As printed", "At n", "This run, at n"]
    return Table("All claims", header, rows)


def contrasts_table(verdict: Verdict, caption: str, doubtful: set[str]) -> Table:
    """The comparisons behind a verdict."""
    worst = any(one.contrast.worst_p_value is not None for one in verdict.judged)
    rows = []
    for one in verdict.judged:
        contrast = one.contrast
        if contrast.interval is None:
            numbers = [f"{contrast.first:g}", f"{contrast.second:g}", f"{contrast.difference:+g}", NONE]
        else:
            low, high = contrast.interval
            numbers = [f"{contrast.first:.2f}", f"{contrast.second:.2f}", f"{contrast.difference:+.2f}"]
            numbers.append(f"{low:+.2f} to {high:+.2f}")
        p_values = [probability(contrast.p_value), probability(one.adjusted_p_value)]
        p_values += [probability(contrast.worst_p_value)] if worst else []
        mark = "\u2020" if doubtful.intersection(contrast.cells) else ""
        rows.append([contrast.where + mark, *numbers, str(contrast.n), *p_values, one.at_n])
    header = ["Compared", "Ahead by the claim", "Other", "Difference", "95 % interval", "n", "p", "p (Holm)"]
    marked = any(row[0].endswith("\u2020") for row in rows)
    notes = ["\u2020 rests on a cell that audit.md finds not reachable or in a repeated row."] if marked else []
    return Table(caption, [*header, *(["p, worst pairing"] if worst else []), "At n"], rows, notes=notes)


def verdict_markdown(title: str, verdict: Verdict, doubtful: set[str]) -> list[str]:
    """Verdict, summary and comparisons of one body of evidence."""
    pairing = {None: "", True: " The verdict at n is the same whatever the pairing.",
               False: " With the worst pairing the verdict at n would be another."}  # fmt: skip
    marks = f"**{verdict.as_printed}** as the numbers stand, **{verdict.at_n}** at n"
    if verdict.as_printed == verdict.at_n:
        marks = f"**{verdict.at_n}**"
    summary = escape_markdown(verdict.summary) + pairing[verdict.whatever_the_pairing]
    lines = [f"*{escape_markdown(title)}*: {marks}. {summary}"]
    if verdict.judged:
        lines.append(to_markdown(contrasts_table(verdict, f"{title}, comparisons", doubtful)).rstrip())
    return lines


def claim_markdown(claim: Mapping[str, Any], verdict: Verdict, own: Sequence[OwnVerdict], doubtful: set[str]) -> str:
    """A section for a reviewer."""
    lines = [f"## {claim['id']}", escape_markdown(f"{claim['text']['en']} ({', '.join(claim['where'])})")]
    lines.append(f'<span lang="ko">{escape_markdown(claim["text"]["ko"])}</span>')
    if "reading" in claim:
        lines.append(f"*Read as.* {escape_markdown(claim['reading']['en'])}")
    lines += verdict_markdown("Published", verdict, doubtful)
    for one in own:
        if one.verdict.at_n == NOT_TESTED:
            continue
        note = " (not a model of the paper)" if one.the_papers is False else ""
        lines += verdict_markdown(f"This run, {one.models}{note}", one.verdict, doubtful)
    return "\n\n".join(lines)


def as_json(verdict: Verdict, doubtful: set[str]) -> dict[str, Any]:
    """A verdict for programs and for the page."""
    return {
        "as_printed": verdict.as_printed,
        "at_n": verdict.at_n,
        "whatever_the_pairing": verdict.whatever_the_pairing,
        "summary": verdict.summary,
        "comparisons": [
            {
                "where": one.contrast.where, "first": one.contrast.first, "second": one.contrast.second,
                "difference": one.contrast.difference,
                "interval": None if one.contrast.interval is None else list(one.contrast.interval),
                "n": one.contrast.n, "p": one.contrast.p_value, "p_holm": one.adjusted_p_value,
                "p_worst_pairing": one.contrast.worst_p_value, "at_n": one.at_n, "cells": list(one.contrast.cells),
                "doubtful": bool(doubtful.intersection(one.contrast.cells)),
            }
            for one in verdict.judged
        ],
    }  # fmt: skip


def check_all(published: Published, run: Run | None) -> Results:
    """Verdicts on every claim: the published one and this run's, by claim."""
    evidence = PublishedEvidence(published)
    return {
        claim["id"]: (check_published(claim, published, evidence), check_run(claim, published, run) if run else [])
        for claim in published.claims
    }


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    provenance = Provenance("check_claims.py", settings)
    published = load_published(arguments.paper)
    optional = (arguments.paired, arguments.ratings, arguments.table5)
    paired, ratings, table5 = (next(iter(paths), None) for paths in optional)
    samples = dict(zip(STAGES, arguments.samples, strict=True)) if arguments.samples else {}
    run = (
        load_run(
            settings, published, table3=arguments.table3, paired=paired, table5=table5, samples=samples, ratings=ratings
        )
        if settings
        else None
    )
    results = check_all(published, run)
    given = [path for path in (arguments.table3, paired, table5, *arguments.samples, ratings) if path]
    inputs = {path.name: path for path in published_files(arguments.paper)} | {str(path): path for path in given}
    doubtful = doubtful_cells(published)
    content = [
        {
            **{key: claim[key] for key in ("id", "where", "text", "reading", "test") if key in claim},
            "published": as_json(results[claim["id"]][0], doubtful),
            "this_run": [
                {"models": one.models, "the_papers_models": one.the_papers, **as_json(one.verdict, doubtful)}
                for one in results[claim["id"]][1]
            ],
        }
        for claim in published.claims
    ]
    write_json(arguments.output / "claims.json", {"claims": content, "provenance": provenance.record(inputs)})
    sections = [claim_markdown(claim, *results[claim["id"]], doubtful) for claim in published.claims]
    table = to_markdown(overview(published.claims, results)).rstrip()
    write_text(arguments.output / "claims.md", "\n\n".join([PREFACE.rstrip(), table, *sections]) + "\n")
    for claim in published.claims:
        verdict, own = results[claim["id"]]
        here = "; ".join(f"{one.models}: {one.verdict.at_n}" for one in own) or "not run"
        print(f"{claim['id']}: as printed {verdict.as_printed}, at n {verdict.at_n}; this run: {here}")
    console.say(
        f"{len(published.claims)} claims checked on the published numbers and ours: {arguments.output}/claims.md"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--paper", type=Path, required=True, help="directory of the published numbers")
    parser.add_argument("--table3", type=Path, help="table3.csv of the run")
    parser.add_argument("--paired", type=Path, nargs="*", default=[], help="paired.csv of the run, if it has one")
    parser.add_argument("--table5", type=Path, nargs="*", default=[], help="table5.csv of the run, if it has one")
    parser.add_argument("--samples", type=Path, nargs="*", default=[], help="sampled responses of stage 1 and stage 3")
    parser.add_argument("--ratings", type=Path, nargs="*", default=[], help="summary.json of the human evaluation")
    parser.add_argument("--output", type=Path, required=True, help="directory of claims.json and claims.md")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
