"""Table 4: responses of stage 1 and stage 3 beside the published ones, and the mean held-out reward of both."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.evaluation.samples import HELDOUT, PAPER, load_stages
from common.files.whole_files import read_json
from common.files.yaml_files import read_checked_yaml
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.stats.intervals import bootstrap_interval
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, write_table

SEED = 0
HEADER = ["Prompt", "Source", "Stage 1 (SFT)", "Stage 3 (RL)"]
PUBLISHED, OURS = Text("published"), Text("ours")
Samples = Sequence[Mapping[str, Mapping[str, Any]]]


def reward_comparison(samples: Samples) -> dict[str, Any]:
    """Mean held-out reward of both stages and the paired difference with a bootstrap interval over prompts."""
    heldout = [stages for stages in samples if stages["ppo"]["source"] == HELDOUT]
    first, third = (np.array([stages[method]["reward"] for stages in heldout]) for method in ("rl_sft", "ppo"))
    difference = third - first
    low, high = bootstrap_interval(difference, SEED)
    spread = {
        name: float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        for name, values in (("rl_sft", first), ("ppo", third), ("difference", difference))
    }
    return {
        "n": len(difference), "same": sum(one["rl_sft"]["response"] == one["ppo"]["response"] for one in heldout),
        "rl_sft": float(first.mean()), "ppo": float(third.mean()),
        "difference": float(difference.mean()), "low": low, "high": high,
        **{f"{name}_stderr": value for name, value in spread.items()},
    }  # fmt: skip


def shown_prompts(samples: Samples, published: dict[str, Any], examples: int) -> list[list[str]]:
    """Rows of the table: the paper's prompts with published and own responses, then some held-out prompts."""
    rows, heldout = [], 0
    for stages in samples:
        first, third = stages["rl_sft"], stages["ppo"]
        if first["source"] == PAPER:
            quoted = published[first["id"]]
            rows.append([first["prompt"], PUBLISHED, quoted["rl_sft"], quoted["ppo"]])
            rows.append(["", OURS, first["response"], third["response"]])
        elif heldout < examples:
            heldout += 1
            rows.append([first["prompt"], OURS, first["response"], third["response"]])
    return rows


def notes(labels: Mapping[str, str], means: Mapping[str, Any], accuracy: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the responses.

    Args:
        labels: names of actor and reward for people.
        means: what `reward_comparison` gives.
        accuracy: of the reward model on held-out pairs, with pairs and interval95.
    """
    low, high = accuracy["interval95"]
    return [
        Text(
            "Actor {actor}, reward model {reward}; greedy responses. Stage 3 minus stage 1, paired over {n} held-out "
            "prompts: {difference} (95 % interval {low} to {high}). The same response on {same} of them.",
            actor=labels["actor"],
            reward=labels["reward"],
            n=means["n"],
            same=means["same"],
            **{key: f"{means[key]:+.3f}" for key in ("difference", "low", "high")},
        ),
        Text(
            "The reward model puts the better-scored response first in {share} % of {pairs} held-out pairs (95 % "
            "interval {low} to {high}): a reward says no more than that about quality.",
            share=f"{100 * accuracy['accuracy']:.1f}",
            pairs=accuracy["pairs"],
            low=f"{100 * low:.1f}",
            high=f"{100 * high:.1f}",
        ),
        "Published responses are those of OPT-6.7B in the paper's table 4.",
    ]


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table4.py", arguments.settings)
    samples = load_stages(*arguments.samples)
    published = {row["id"]: row for row in read_checked_yaml(arguments.published)["examples"]}
    means = reward_comparison(samples)
    accuracy = read_json(arguments.reward / "run.json")["heldout_pairs"]
    rows = shown_prompts(samples, published, settings["examples"])
    title = Text("Mean reward of {n} held-out prompts", n=means["n"])
    rows.append([title, OURS, f"{means['rl_sft']:.3f}", f"{means['ppo']:.3f}"])
    actor, reward = settings["actor"], settings["reward"]
    ids = {(len(rows) - 1, place): cell_id("table4", actor, name) for place, name in ((2, "rl_sft"), (3, "ppo"))}
    caption = "Table 4. Responses of stage 1 and stage 3 of the RL arm"
    table = Table(caption, HEADER, rows, notes=notes(settings["labels"], means, accuracy), cells=ids)
    write_table(table, arguments.output, "table4", words=words_of(arguments), provenance=provenance.record())
    samples_read = ";".join(f"samples/{actor}/{stage}.*" for stage in ("rl_sft", "ppo"))
    cells = []
    for name in ("rl_sft", "ppo", "difference"):
        error = means[f"{name}_stderr"]
        told = {"stderr": None if error is None else f"{error:.4f}", "n": means["n"], "source": samples_read}
        cells.append(cell_line("table4", actor, name, f"{means[name]:.4f}", **told))
    told = {"n": accuracy["pairs"], "source": f"models/{reward}/reward/run.json"}
    cells.append(cell_line("table4", reward, "pair_accuracy", f"{100 * accuracy['accuracy']:.4f}", **told))
    columns = [name.lower() for name in HEADER]
    write_csv_files(arguments.output, "table4", header=columns, rows=rows, cells=cells)
    console.say(
        f"mean held-out reward, stage 3 minus stage 1: {means['difference']:+.4f} "
        f"(95 % interval {means['low']:+.4f} to {means['high']:+.4f}, {means['n']} prompts)"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--samples", type=Path, nargs=2, required=True, help="samples of stage 1 and stage 3")
    parser.add_argument("--reward", type=Path, required=True, help="model directory of the reward model")
    parser.add_argument("--published", type=Path, required=True, help="YAML file of the paper's table 4")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
