"""Score the ratings of the blind comparison beside the paper's published counts; without ratings, say so."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.whole_files import write_json
from common.files.yaml_files import read_checked_yaml
from common.human_eval.ratings import Rating, fleiss_agreement, load_ratings, majority, verdicts
from common.human_eval.sheet import LEFT, RIGHT, SIMILAR, STAGE_1, STAGE_3, VERDICTS, Sheet, load_sheet
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.stats.intervals import wilson_interval
from common.stats.significance import mcnemar_p_value, p_value_number
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, write_table

NOT_RATED = "not rated"
HEADER = ("Rated by", "n", "Stage 1 better", "Similar", "Stage 3 better", "Stage 3 in % of decided", "p (sign test)")
CSV_HEADER = ("rated_by", "n", *VERDICTS, "decided", "stage3_share", "share_low", "share_high", "p_value")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: its id in cells.csv.
        label: its first column.
        outcome: what `outcome` gives, or counts alone, or None when there is no rating.
        source: where the numbers come from.
    """

    name: str
    label: Text
    outcome: Mapping[str, Any] | None
    source: str = "human_eval/summary.json"


def published_counts(path: Path) -> dict[str, int]:
    """The paper's counts (section 5.2), by verdict."""
    ratings = read_checked_yaml(path)
    preferred = ratings["preferred"]
    return {STAGE_1: preferred["rl_sft"], SIMILAR: ratings["similar"], STAGE_3: preferred["ppo"]}


def counts(stages: Sequence[str]) -> dict[str, int]:
    """How often each verdict was given."""
    found = Counter(stages)
    return {verdict: found[verdict] for verdict in VERDICTS}


def outcome(counted: Mapping[str, int]) -> dict[str, Any]:
    """Counts over independent prompts with share, interval and test.

    The share is that of stage 3 among the decided prompts (one stage preferred), with Wilson's 95 % interval. The
    test is the exact two-sided sign test, a binomial test of one half on the decided prompts; it equals the exact
    McNemar test. Prompts rated as similar are left out of both.

    Args:
        counted: verdict -> number of prompts; each prompt counts once.
    """
    losses, wins = counted[STAGE_1], counted[STAGE_3]
    decided = losses + wins
    return {
        "n": sum(counted.values()),
        **counted,
        "decided": decided,
        "stage3_share": wins / decided if decided else None,
        "stage3_share_interval": list(wilson_interval(wins, decided)) if decided else None,
        "p_value": mcnemar_p_value(wins, losses),
    }


def summarise(sheet: Sheet, ratings: Sequence[Rating], paper: Mapping[str, int]) -> dict[str, Any]:
    """Everything the ratings say.

    Several raters rate the same prompts, so their ratings of one prompt depend on each other, and a test over all
    ratings would count one prompt several times. So the pooled test uses the prompt as its
    unit: each prompt gets the majority's verdict, then the sign test and Wilson's interval apply as for one rater.
    That stays exact however few prompts there are, which a bootstrap over ten prompts would not. The counts over
    all ratings are also given, without interval or test.

    Args:
        sheet: what was rated.
        ratings: all files, incomplete ones included.
        paper: the published counts by verdict.
    """
    complete = [rating for rating in ratings if rating.complete]
    by_rater = {rating.alias: verdicts(rating, sheet) for rating in complete}
    by_prompt = list(zip(*by_rater.values(), strict=True))
    pooled = majority(by_prompt)
    agreement, kappa = fleiss_agreement(by_prompt) if len(complete) > 1 else (None, None)
    sides = Counter(choice for rating in complete for choice in rating.choices.values())
    ids = [item["item"] for item in sheet.items]
    return {
        "status": "rated" if complete else NOT_RATED,
        "sheet_sha256": sheet.sha256,
        "prompts": len(sheet.items),
        "identical_responses": sum(item[LEFT] == item[RIGHT] for item in sheet.items),
        "paper": outcome(paper),
        "raters": {alias: outcome(counts(stages)) for alias, stages in by_rater.items()},
        "pooled": outcome(counts(pooled)) if complete else None,
        "all_ratings": counts([stage for stages in by_prompt for stage in stages]) if complete else None,
        "agreement": {"raters": len(complete), "pairs_agreeing": agreement, "fleiss_kappa": kappa},
        "sides": {side: sides[side] for side in (LEFT, RIGHT)},
        "by_prompt": {
            item: {**counts(stages), "majority": verdict}
            for item, stages, verdict in zip(ids, by_prompt, pooled, strict=False)
        },
        "incomplete": [
            {"file": rating.file, "alias": rating.alias, "rated": len(rating.choices)}
            for rating in ratings
            if not rating.complete
        ],
    }


def table_rows(summary: Mapping[str, Any]) -> list[Row]:
    """The paper's row, then this run's: raters, all ratings when there are several, the majority by prompt."""
    rows = [Row("paper", Text("Paper, one rater"), summary["paper"], "resources/paper/human_evaluation.yaml")]
    raters = [
        Row(f"rater-{alias}", Text("Rater {name}", name=alias), result) for alias, result in summary["raters"].items()
    ]
    if len(raters) > 1:
        everything = {"n": sum(summary["all_ratings"].values()), **summary["all_ratings"]}
        raters.append(Row("all-ratings", Text("All ratings"), everything))
    label = Text("Majority by prompt") if raters else Text("This run")
    return [*rows, *raters, Row("pooled", label, summary["pooled"])]


def row_texts(row: Row) -> list[str]:
    """Cells as people read them."""
    found = row.outcome
    if found is None:
        return [row.label, "0", *[Text(NOT_RATED)] * 3, "\u2013", "\u2013"]
    texts = [row.label, str(found["n"]), *(str(found[verdict]) for verdict in VERDICTS)]
    if found.get("stage3_share") is None:
        return [*texts, "\u2013", p_value_number(found["p_value"]) if "p_value" in found else "\u2013"]
    low, high = found["stage3_share_interval"]
    share = f"{100 * found['stage3_share']:.1f}\n{100 * low:.0f}\u2013{100 * high:.0f}"
    return [*texts, share, p_value_number(found["p_value"])]


def csv_line(row: Row) -> list[object]:
    found = row.outcome
    if found is None:
        return [row.name, 0, *[NOT_RATED] * 3, *[None] * 5]
    low, high = found.get("stage3_share_interval") or (None, None)
    numbers = [found.get("decided"), found.get("stage3_share"), low, high, found.get("p_value")]
    texts = [f"{value:.6f}" if isinstance(value, float) else value for value in numbers]
    return [row.name, found["n"], *(found[verdict] for verdict in VERDICTS), *texts]


def cell_lines(row: Row) -> list[list[object]]:
    """Lines of cells.csv: the three counts and the share in percent with its standard error."""
    lines: list[tuple[str, object, object, object]] = []
    found = row.outcome
    for verdict in VERDICTS:
        lines.append((verdict, NOT_RATED, None, None) if found is None else (verdict, found[verdict], None, found["n"]))
    if found is not None and found.get("stage3_share") is not None:
        share, decided = found["stage3_share"], found["decided"]
        error = (share * (1 - share) / decided) ** 0.5
        lines.append(("stage3_share", f"{100 * share:.4f}", f"{100 * error:.4f}", decided))
    return [
        cell_line("human_eval", row.name, column, value, stderr=stderr, n=n, source=row.source)
        for column, value, stderr, n in lines
    ]


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the numbers."""
    lines: list[str] = [
        "Stage 3 in % of the prompts where one stage was preferred, Wilson's 95 % interval below; exact two-sided "
        "sign test on the same prompts. Both are computed here for the paper's row too, from its counts (section 5.2).",
    ]
    agreement = summary["agreement"]
    if agreement["raters"] > 1:
        kappa = agreement["fleiss_kappa"]
        lines += [
            "Ratings of one prompt depend on each other, so interval and test are those of the majority by prompt: the "
            "stage more than half of the raters preferred, else similar.",
            Text(
                "Agreement between {raters} raters: {share} % of the pairs of ratings agree; Fleiss' kappa {kappa}.",
                raters=agreement["raters"],
                share=f"{100 * agreement['pairs_agreeing']:.0f}",
                kappa=Text("undefined, as all ratings are the same") if kappa is None else f"{kappa:.2f}",
            ),
        ]
    else:
        lines.append("Agreement between raters: needs two raters.")
    if summary["status"] == NOT_RATED:
        lines.append("This run has not been rated yet; docs/human_eval.md says how to.")
    if identical := summary["identical_responses"]:
        same = "On {identical} of {prompts} prompts both stages gave the same response."
        lines.append(Text(same, identical=identical, prompts=summary["prompts"]))
    for entry in summary["incomplete"]:
        left_out = "Not counted, incomplete: {file} ({rated} of {prompts} prompts rated)."
        lines.append(Text(left_out, file=entry["file"], rated=entry["rated"], prompts=summary["prompts"]))
    return lines


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("score_human_eval.py", arguments.settings)
    sheet = load_sheet(arguments.items, arguments.key)
    summary = summarise(sheet, load_ratings(arguments.ratings, sheet), published_counts(arguments.published))
    files = (arguments.items, arguments.key, arguments.published, *arguments.ratings)
    inputs = {str(path): path for path in files}
    rows = table_rows(summary)
    caption = "Blind human evaluation: responses of stage 1 (SFT) and stage 3 (RL) to the same prompts"
    shown = rows[:-1] if len(summary["raters"]) == 1 else rows  # the majority of one is that one
    ids = {
        (i, place): cell_id("human_eval", row.name, verdict)
        for i, row in enumerate(shown)
        for place, verdict in enumerate(VERDICTS, start=2)
    }
    table = Table(caption, HEADER, [row_texts(row) for row in shown], notes=notes(summary), cells=ids)
    record = provenance.record(inputs, n=len(summary["raters"]))
    write_json(arguments.summary, {**summary, "provenance": record})
    write_table(table, arguments.tables, "human_eval", words=words_of(arguments), provenance=record)
    cells = [line for row in rows for line in cell_lines(row)]
    write_csv_files(arguments.tables, "human_eval", header=CSV_HEADER, rows=list(map(csv_line, rows)), cells=cells)
    for entry in summary["incomplete"]:
        console.say(f"not counted, incomplete: {entry['file']} ({entry['rated']} of {summary['prompts']} rated)")
    console.say(f"complete ratings: {len(summary['raters'])}; {arguments.tables}/human_eval.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--items", type=Path, required=True, help="items.json of the sheet")
    parser.add_argument("--key", type=Path, required=True, help="key.json of the sheet")
    parser.add_argument("--published", type=Path, required=True, help="YAML file of the paper's human evaluation")
    parser.add_argument("--ratings", type=Path, nargs="*", default=[], help="files raters exported")
    parser.add_argument("--summary", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--tables", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
