"""What a method learns from a prompt: its reference, its pair for Chain-of-Hindsight, its preference pairs."""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from common.base.keyed_random import keyed_random

Row = dict[str, Any]

PROMPT_COLUMNS = ("id", "instruction", "input")


def sft_rows(rows: Iterable[Row]) -> list[Row]:
    """Prompts with their reference response; those without one are left out (and counted in the manifest)."""
    return [{**_prompt(row), "response": row["reference"]} for row in rows if row["reference"]]


def hindsight_pair(row: Row, seed: int) -> Row | None:
    """The best and the second-best response, order among equals drawn by seed; None with fewer than two.

    Of equally good second-best responses those with another text than the best come first.
    """
    if len(row["responses"]) < 2:
        return None
    random = keyed_random("hindsight", seed, row["id"])
    candidates = random.sample(row["responses"], len(row["responses"]))
    better, *others = sorted(candidates, key=lambda response: -response["score"])
    worse = min(others, key=lambda response: (-response["score"], _words(response["text"]) == _words(better["text"])))
    return {
        **_prompt(row),
        "better": better["text"], "worse": worse["text"],
        "better_source": better["source"], "worse_source": worse["source"],
        "better_score": better["score"], "worse_score": worse["score"],
        "tie": better["score"] == worse["score"],
        "better_first": random.random() < 0.5,
    }  # fmt: skip


def _words(text: str) -> list[str]:
    """A text but for its spacing and Unicode form."""
    return unicodedata.normalize("NFC", text).split()


def hindsight_pairs(rows: Iterable[Row], seed: int) -> tuple[list[Row], int]:
    """The pair of each prompt that has one, and how many pairs were left out because both responses are one text.

    Such a pair would teach that a text is better than itself.
    """
    pairs = [pair for row in rows if (pair := hindsight_pair(row, seed)) is not None]
    told_apart = [pair for pair in pairs if _words(pair["better"]) != _words(pair["worse"])]
    return told_apart, len(pairs) - len(told_apart)


def coh_rows(rows: Iterable[Row], seed: int, ties: str) -> list[Row]:
    """Chain-of-Hindsight pairs; `ties` is keep, drop or tie_marker (which keeps them, too)."""
    return [pair for pair in hindsight_pairs(rows, seed)[0] if not (ties == "drop" and pair["tie"])]


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
