"""What a method learns from a prompt: its reference, its pair for Chain-of-Hindsight, its preference pairs."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from common.base.keyed_random import keyed_random

Row = dict[str, Any]

PROMPT_COLUMNS = ("id", "instruction", "input")


def sft_rows(rows: Iterable[Row]) -> list[Row]:
    """Prompts with their reference response; those without one are left out (and counted in the manifest)."""
    return [{**_prompt(row), "response": row["reference"]} for row in rows if row["reference"]]


def hindsight_pair(row: Row, seed: int) -> Row | None:
    """The best and the second-best response, order among equals drawn by seed; None with fewer than two."""
    if len(row["responses"]) < 2:
        return None
    random = keyed_random("hindsight", seed, row["id"])
    candidates = random.sample(row["responses"], len(row["responses"]))
    better, worse = sorted(candidates, key=lambda response: -response["score"])[:2]
    return {
        **_prompt(row),
        "better": better["text"], "worse": worse["text"],
        "better_source": better["source"], "worse_source": worse["source"],
        "better_score": better["score"], "worse_score": worse["score"],
        "tie": better["score"] == worse["score"],
        "better_first": random.random() < 0.5,
    }  # fmt: skip


def coh_rows(rows: Iterable[Row], seed: int, ties: str) -> list[Row]:
    """Chain-of-Hindsight pairs; `ties` is keep, drop or tie_marker (which keeps them, too)."""
    pairs = [pair for row in rows if (pair := hindsight_pair(row, seed)) is not None]
    return [pair for pair in pairs if not (ties == "drop" and pair["tie"])]


def reward_rows(rows: Iterable[Row], rule: str) -> list[Row]:
    """Preference pairs of each prompt's responses.

    Args:
        rows: prompts with scored responses.
        rule: all_distinct (every pair whose scores differ), best_vs_worst, or best_vs_rest.
    """
    return [
        {
            **_prompt(row),
            "chosen": chosen["text"], "rejected": rejected["text"],
            "chosen_source": chosen["source"], "rejected_source": rejected["source"],
            "chosen_score": chosen["score"], "rejected_score": rejected["score"],
        }
        for row in rows
        for chosen, rejected in _preferences(row["responses"], rule)
    ]  # fmt: skip


def _preferences(responses: Sequence[Row], rule: str) -> list[tuple[Row, Row]]:
    ranked = sorted(responses, key=lambda response: -response["score"])
    if rule == "all_distinct":
        pairs = list(itertools.combinations(ranked, 2))
    elif rule == "best_vs_rest":
        pairs = [(ranked[0], other) for other in ranked[1:]]
    else:
        pairs = [(ranked[0], ranked[-1])] if len(ranked) > 1 else []
    return [(better, worse) for better, worse in pairs if better["score"] > worse["score"]]


def _prompt(row: Row) -> Row:
    return {column: row[column] for column in PROMPT_COLUMNS}
