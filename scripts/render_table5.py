"""Table 5: every method on one base model, by accuracy, by the reward model, and by the distance from the base."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.evaluation.samples import HELDOUT, load_together
from common.files.whole_files import read_json
from common.human_eval.outcomes import read_preferences
from common.human_eval.sheet import SIMILAR
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.one_base import YARDSTICK, Accuracy, Preferred, Responses, Row, csv_columns, load_row, numbers
from common.tables.scores import load_grid
from common.tables.table import Table, write_table

NONE = "\u2013"


def points(value: float) -> str:
    return f"{100 * value:+.1f}"


def accuracy_text(found: Accuracy | None) -> str:
    """Percent, and below it the difference from SFT in points with its interval."""
    if found is None:
        return Text("missing")
    percent = f"{100 * found.mean:.1f}"
    if found.against is None:
        return percent
    low, high = found.against.interval
    return f"{percent}\n{points(found.against.difference)} ({points(low)}, {points(high)})"


def response_texts(found: Responses, method: str) -> list[str]:
    """Reward, wins, length and both estimates of the divergence."""
    low, high = found.reward_interval
    reward = f"{found.reward:.3f}\n({low:.3f}, {high:.3f})"
    wins = NONE if found.wins is None else f"{found.wins} : {found.losses}"
    if share := found.win_share:
        wins += f"\n{100 * share[0]:.0f} % ({100 * share[1]:.0f}, {100 * share[2]:.0f})"
    base = method == "pretrained"
    distances = ["0" if base else NONE if value is None else f"{value:.4f}" for value in (found.kl_k1, found.kl_k3)]
    return [reward, wins, f"{found.tokens:.1f}", *distances]


def cell_lines(row: Row, found: Mapping[str, str], tasks: Sequence[str]) -> list[list[object]]:
    """Lines of cells.csv: what each number is a mean of, and the files behind it."""
    lines = []
    for column, value in found.items():
        name = column.split("/")[0]
        compared = name in ("wins", "losses", "win_share") or (name != column and name.startswith("k"))
        methods = [row.method, *([YARDSTICK] if compared else [])]
        n: object = row.responses.prompts
        files = [f"samples/{row.model}/{method}.*" for method in methods]
        if name == "unparseable" or name[1:].isdecimal():
            shots = list(row.accuracies) if name == "unparseable" else [int(name[1:])]
            at_k = row.accuracies[shots[0]]
            n = at_k.items if at_k and name != "unparseable" else None
            folders = [f"eval/{row.model}/{method}/{task}" for method in methods for task in tasks]
            files = [f"{folder}/k{k}_seed*" for folder in folders for k in shots]
        if name.startswith("raters"):
            said = row.preferred[column.split("/")[1]]
            n, files = said.wins + said.losses + said.similar, ["human_eval/summary.json"]
        lines.append(cell_line("table5", f"{row.model}/{row.method}", column, value, n=n, source=";".join(files)))
    return lines


def preferred_by_raters(summary: Path, model: str, method: str) -> dict[str, Preferred]:
    """What most raters said of a method beside others, by the other method; empty where nobody rated it."""
    found = {}
    for other in METHOD_LABELS:
        if other != method and (counts := read_preferences(summary, model, (method, other))):
            found[other] = Preferred(counts[method], counts[other], counts[SIMILAR])
    return found


def raters_text(row: Row) -> str:
    said = [f"{one.wins} : {one.losses} {METHOD_LABELS[other]}" for other, one in row.preferred.items()]
    return "\n".join(said) or NONE


def notes(settings: Mapping[str, Any], rewards: Mapping[str, Mapping[str, Any]], prompts: int) -> list[str]:
    """What a reader must know beside the numbers.

    Args:
        settings: of the job.
        rewards: by base model, accuracy of its reward model on held-out pairs, with pairs and interval95.
        prompts: held-out prompts.
    """
    found: list[str] = [
        "Accuracy: generated answers, mean over the tasks in %; below it the difference from SFT in points with its "
        "95 % interval (paired bootstrap over items and draws of each task). Unparseable: answers that name no single "
        "choice, in % over all tasks and numbers of examples.",
        Text(
            "Reward: mean over {prompts} held-out prompts, greedy responses, asked for with the method's own marker "
            "and scored behind the one that the reward model was trained with (95 % bootstrap interval over prompts). "
            "Won : lost: prompts with a higher and with a lower reward than SFT's, the others have the same response; "
            "below it the share of the won ones (Wilson's 95 % interval).",
            prompts=prompts,
        ),
        "KL: divergence from the base model in nats per token, both given the method's own prompt, estimated on "
        "responses drawn at temperature 1: k1 is the mean log-ratio, k3 Schulman's estimate, which is never negative.",
        "No interval is corrected for the number of comparisons.",
        "PPO was trained on this very reward model and the other methods were not: a higher reward says that a method "
        "pleases it, and nothing of what it cannot see.",
    ]
    for model, measured in rewards.items():
        low, high = measured["interval95"]
        found.append(
            Text(
                "{model}: its reward model is of {reward} and puts the better-scored response first in {share} % of "
                "{pairs} held-out pairs (95 % interval {low} to {high}).",
                model=settings["model_info"][model]["label"],
                reward=settings["reward_labels"][model],
                share=f"{100 * measured['accuracy']:.1f}",
                pairs=measured["pairs"],
                low=f"{100 * low:.1f}",
                high=f"{100 * high:.1f}",
            )
        )
    if settings["heldout_trained_on"]:
        found.append("SFT and CoH were trained on the held-out prompts as well, the RL arm was not.")
    return [
        *found,
        "Rows learnt from different numbers of prompts and tokens (table `costs`). PPO starts from stage 1, trained on "
        "prompts of its own, not from the row SFT.",
    ]


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table5.py", arguments.settings)
    results, shots = arguments.results, settings["shots"]
    summary = results / "human_eval" / "summary.json"
    grid = load_grid(settings, results / "eval")
    rows = []
    for model in settings["models"]:
        paths = {method: results / "samples" / model / f"{method}.parquet" for method in settings["methods"]}
        answers = [row for row in load_together(paths) if row[YARDSTICK]["source"] == HELDOUT]
        rows += [
            load_row(settings, grid, answers, preferred_by_raters(summary, model, method), model=model, method=method)
            for method in settings["methods"]
        ]
    rated = any(row.preferred for row in rows)
    texts, lines, cells = [], [], []
    ids: dict[tuple[int, int], str] = {}
    shown = [*(f"k{k}" for k in shots), "unparseable", "reward", "win_share", "tokens", "kl_k1", "kl_k3"]
    for place, row in enumerate(rows):
        found, key = numbers(row), f"{row.model}/{row.method}"
        named = [settings["model_info"][row.model]["label"], Text(METHOD_LABELS[row.method])]
        unparseable = Text("missing") if row.unparseable is None else f"{100 * row.unparseable:.1f}"
        accuracies = [accuracy_text(row.accuracies[k]) for k in shots]
        raters = [raters_text(row)] if rated else []
        texts.append([*named, *accuracies, unparseable, *response_texts(row.responses, row.method), *raters])
        lines.append([row.model, row.method, *map(found.get, csv_columns(shots))])
        cells += cell_lines(row, found, settings["tasks"])
        ids |= {(place, i): cell_id("table5", key, name) for i, name in enumerate(shown, start=2) if name in found}
    rewards = {
        model: read_json(results / "models" / name / "reward" / "run.json")["heldout_pairs"]
        for model, name in settings["rewards"].items()
    }
    measures = [
        "Unparseable",
        "Reward",
        "Won : lost",
        "Tokens",
        "k1",
        "k3",
        *(["Preferred by raters"] if rated else []),
    ]
    header = ["Model", "Method", *(f"k={k}" for k in shots), *measures]
    groups = [
        ("", 2),
        (Text("Accuracy"), len(shots)),
        ("", 1),
        (Text("Held-out prompts"), 3),
        (Text("KL"), 2),
        *([("", 1)] if rated else []),
    ]
    caption = "Table 5. Every method on one base model"
    told = notes(settings, rewards, rows[0].responses.prompts)
    table = Table(caption, header, texts, groups, notes=told, cells=ids)
    write_table(table, arguments.output, "table5", words=words_of(arguments), provenance=provenance.record())
    csv_header = ["model", "method", *(name.replace("/", "_") for name in csv_columns(shots))]
    write_csv_files(arguments.output, "table5", header=csv_header, rows=lines, cells=cells)
    console.say(f"{len(rows)} rows: {arguments.output}/table5.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="directory of scores, samples and models")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
