"""Score the ratings of the blind comparison, pair by pair, beside the paper's published counts; without any, say so."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.files.whole_files import write_json
from common.files.yaml_files import read_checked_yaml
from common.human_eval.outcomes import summarise
from common.human_eval.ratings import load_ratings
from common.human_eval.sheet import FIRST, SECOND, SIMILAR, VERDICTS, Pair, load_sheet
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.stats.significance import p_value_number
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, write_table

NOT_RATED, NONE = "not rated", "\u2013"
PUBLISHED = Pair("OPT-6.7B", "rl_sft", "ppo")
LABELS = {**METHOD_LABELS, "rl_sft": "Stage 1 (SFT)", "ppo": "Stage 3 (RL)"}
CAPTION = "Blind human evaluation: responses of two methods to the same prompts"
HEADER = ("Model", "First", "Second", "Rated by", "n", "First better", "Similar", "Second better",
          "Second in % of decided", "p (sign test)")  # fmt: skip
# Where nothing but the paper's stages 1 and 3 is compared.
STAGES_CAPTION = "Blind human evaluation: responses of stage 1 (SFT) and stage 3 (RL) to the same prompts"
STAGES_HEADER = ("Rated by", "n", "Stage 1 better", "Similar", "Stage 3 better", "Stage 3 in % of decided",
                 "p (sign test)")  # fmt: skip
CSV_HEADER = ("model", "first", "second", "rated_by", "n", "first_better", "similar", "second_better", "decided",
              "second_share", "share_low", "share_high", "p_value")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        pair: the methods.
        rated_by: its last part in the ids of cells.csv.
        label: the same for people.
        outcome: what `outcome` gives, or counts alone, or None when there is no rating.
        source: where the numbers come from.
        of_stages: whether the methods are the paper's stages 1 and 3, whose cells are named after them alone.
    """

    pair: Pair
    rated_by: str
    label: Text
    outcome: Mapping[str, Any] | None
    source: str
    of_stages: bool

    @property
    def place(self) -> str:
        """The row in cells.csv."""
        return self.rated_by if self.of_stages else f"{self.pair.name}/{self.rated_by}"

    @property
    def columns(self) -> tuple[str, str, str]:
        """What the verdicts are called in cells.csv."""
        return ("stage1", SIMILAR, "stage3") if self.of_stages else (self.pair.first, SIMILAR, self.pair.second)


def published_counts(path: Path) -> dict[str, int]:
    """The paper's counts (section 5.2), by verdict."""
    ratings = read_checked_yaml(path)
    preferred = ratings["preferred"]
    return {FIRST: preferred[PUBLISHED.first], SIMILAR: ratings["similar"], SECOND: preferred[PUBLISHED.second]}


def table_rows(summary: Mapping[str, Any], actor: str) -> list[Row]:
    """The paper's row, then this run's, pair by pair.

    Args:
        summary: what `summarise` gives.
        actor: the model whose stages 1 and 3 the paper's row is about.
    """
    label, source = Text("Paper, one rater"), "resources/paper/human_evaluation.yaml"
    rows = [Row(PUBLISHED, "paper", label, summary["paper"], source, of_stages=True)]
    for found in summary["pairs"]:
        pair = Pair(found["model"], found["first"], found["second"])
        samples = [f"samples/{pair.model}/{method}.*" for method in (pair.first, pair.second)]
        source = ";".join(["human_eval/summary.json", *samples])
        of_stages = pair == Pair(actor, PUBLISHED.first, PUBLISHED.second)
        rows += [Row(pair, *told, source=source, of_stages=of_stages) for told in pair_rows(found)]
    return rows


def pair_rows(found: Mapping[str, Any]) -> list[tuple[str, Text, Mapping[str, Any] | None]]:
    """A pair's raters, all ratings when there are several, the majority by prompt."""
    rows: list[tuple[str, Text, Mapping[str, Any] | None]] = [
        (f"rater-{alias}", Text("Rater {name}", name=alias), result) for alias, result in found["raters"].items()
    ]
    if len(rows) > 1:
        everything = {"n": sum(found["all_ratings"].values()), **found["all_ratings"]}
        rows.append(("all-ratings", Text("All ratings"), everything))
    return [*rows, ("pooled", Text("Majority by prompt") if rows else Text("This run"), found["pooled"])]


def row_texts(row: Row) -> list[str]:
    """Cells as people read them, from the rater on."""
    found = row.outcome
    if found is None:
        return [row.label, "0", *[Text(NOT_RATED)] * 3, NONE, NONE]
    texts = [row.label, str(found["n"]), *(str(found[verdict]) for verdict in VERDICTS)]
    if found.get("second_share") is None:
        return [*texts, NONE, p_value_number(found["p_value"]) if "p_value" in found else NONE]
    low, high = found["second_share_interval"]
    share = f"{100 * found['second_share']:.1f}\n{100 * low:.0f}\u2013{100 * high:.0f}"
    return [*texts, share, p_value_number(found["p_value"])]


def pair_texts(pair: Pair, labels: Mapping[str, str]) -> list[str]:
    """Model and methods for people."""
    return [labels.get(pair.model, pair.model), Text(LABELS[pair.first]), Text(LABELS[pair.second])]


def csv_line(row: Row) -> list[object]:
    found, named = row.outcome, [row.pair.model, row.pair.first, row.pair.second, row.rated_by]
    if found is None:
        return [*named, 0, *[NOT_RATED] * 3, *[None] * 5]
    low, high = found.get("second_share_interval") or (None, None)
    numbers = [found.get("decided"), found.get("second_share"), low, high, found.get("p_value")]
    texts = [f"{value:.6f}" if isinstance(value, float) else value for value in numbers]
    return [*named, found["n"], *(found[verdict] for verdict in VERDICTS), *texts]


def cell_lines(row: Row) -> list[list[object]]:
    """Lines of cells.csv: the three counts and the share in percent with its standard error."""
    lines: list[tuple[str, object, object, object]] = []
    found = row.outcome
    for column, verdict in zip(row.columns, VERDICTS, strict=True):
        lines.append((column, NOT_RATED, None, None) if found is None else (column, found[verdict], None, found["n"]))
    if found is not None and found.get("second_share") is not None:
        share, decided = found["second_share"], found["decided"]
        error = (share * (1 - share) / decided) ** 0.5
        lines.append((f"{row.columns[2]}_share", f"{100 * share:.4f}", f"{100 * error:.4f}", decided))
    return [
        cell_line("human_eval", row.place, column, value, stderr=stderr, n=n, source=row.source)
        for column, value, stderr, n in lines
    ]


def notes(summary: Mapping[str, Any], labels: Mapping[str, str], stages_alone: bool) -> list[str]:
    """What a reader must know beside the numbers."""
    lines: list[str] = [
        Text(
            "{which} in % of the prompts where one of the two was preferred, Wilson's 95 % interval below; exact "
            "two-sided sign test on the same prompts. Both are computed here for the paper's row too, from its counts "
            "(section 5.2).",
            which=Text("Stage 3") if stages_alone else Text("Second"),
        )
    ]
    if len(summary["raters"]) > 1:
        lines.append(
            "Ratings of one prompt depend on each other, so interval and test are those of the majority by prompt: the "
            "response more than half of the raters preferred, else similar."
        )
    else:
        lines.append("Agreement between raters: needs two raters.")
    if not summary["raters"]:
        lines.append("This run has not been rated yet; docs/human_eval.md says how to.")
    for found in summary["pairs"]:
        model, first, second = pair_texts(Pair(found["model"], found["first"], found["second"]), labels)
        pair = Text("{model}, {first} and {second}", model=model, first=first, second=second)
        lines += [note if stages_alone else Text("{pair}: {note}", pair=pair, note=note) for note in pair_notes(found)]
    for entry in summary["incomplete"]:
        left_out = "Not counted, incomplete: {file} ({rated} of {prompts} prompts rated)."
        lines.append(Text(left_out, file=entry["file"], rated=entry["rated"], prompts=summary["items"]))
    return lines


def pair_notes(found: Mapping[str, Any]) -> list[Text]:
    """What is to be said of one pair."""
    lines, agreement = [], found["agreement"]
    if agreement["pairs_agreeing"] is not None:
        kappa = agreement["fleiss_kappa"]
        lines.append(
            Text(
                "Of the pairs of ratings by {raters} raters, {share} % agree; Fleiss' kappa {kappa}.",
                raters=len(found["raters"]),
                share=f"{100 * agreement['pairs_agreeing']:.0f}",
                kappa=Text("undefined, as all ratings are the same") if kappa is None else f"{kappa:.2f}",
            )
        )
    if identical := found["identical_responses"]:
        same = "On {identical} of {prompts} prompts both gave the same response."
        lines.append(Text(same, identical=identical, prompts=found["prompts"]))
    return lines


def as_table(summary: Mapping[str, Any], rows: Sequence[Row], labels: Mapping[str, str]) -> Table:
    """The table for people; the majority of one rater is that rater, and is not shown again."""
    stages_alone = all(row.of_stages for row in rows)
    shown = [row for row in rows if row.rated_by != "pooled" or len(summary["raters"]) != 1]
    before = [[] if stages_alone else pair_texts(row.pair, labels) for row in shown]
    texts = [[*named, *row_texts(row)] for named, row in zip(before, shown, strict=True)]
    ids = {
        (i, place): cell_id("human_eval", row.place, column)
        for i, row in enumerate(shown)
        for place, column in enumerate(row.columns, start=len(before[i]) + 2)
    }
    caption, header = (STAGES_CAPTION, STAGES_HEADER) if stages_alone else (CAPTION, HEADER)
    return Table(caption, header, texts, notes=notes(summary, labels, stages_alone), cells=ids)


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, tables = arguments.settings, arguments.tables
    provenance = Provenance("score_human_eval.py", settings)
    sheet = load_sheet(arguments.items, arguments.key)
    summary = summarise(sheet, load_ratings(arguments.ratings, sheet), published_counts(arguments.published))
    files = (arguments.items, arguments.key, arguments.published, *arguments.ratings)
    record = provenance.record({str(path): path for path in files}, n=len(summary["raters"]))
    rows = table_rows(summary, settings["actor"])
    table = as_table(summary, rows, settings["labels"])
    write_json(arguments.summary, {**summary, "provenance": record})
    write_table(table, tables, "human_eval", words=words_of(arguments), provenance=record)
    cells = [line for row in rows for line in cell_lines(row)]
    write_csv_files(tables, "human_eval", header=CSV_HEADER, rows=list(map(csv_line, rows)), cells=cells)
    for entry in summary["incomplete"]:
        console.say(f"not counted, incomplete: {entry['file']} ({entry['rated']} of {summary['items']} rated)")
    console.say(f"complete ratings: {len(summary['raters'])}; {tables}/human_eval.md")


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
