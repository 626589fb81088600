"""Model cards of made-up records, and cards read as the hub and its users read them."""

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from markdown_it.token import Token

from common.base.paths import ROOT
from common.config.methods import METHODS
from common.config.settings import ppo_settings, training_settings
from common.config.sharing import card_settings
from common.report.model_card import Checkpoint, model_card
from common.tables.scores import Cell

TEMPLATE = ROOT / "resources/hub/model_card.md.jinja"
LOSS = {"n": 24, "before": 2.5, "after": 2.0, "difference": -0.5, "interval95": [-0.7, -0.3]}
PAIRS = {"pairs": 58, "prompts": 24, "accuracy": 0.725, "interval95": [0.6, 0.8]}
MADE = {
    "commit": "c" * 40, "dirty": False, "versions": {"python": "3.11.7", "torch": "2.13.0"}, "seconds": 75.2,
    "hardware": {"cpu": "a CPU", "cpus": 2, "gpus": ["a GPU"] * 2}, "started": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


def run_record(config: Mapping[str, Any], model: str, method: str) -> dict[str, Any]:
    """A run.json as the method's training writes it."""
    settings = ppo_settings(config, model) if method == "ppo" else training_settings(config, method, model)
    facts: dict[str, Any] = {"train": {"sequences": 176}, "tokens_seen": {"total": 12191, "target": 6334}}
    if method == "ppo":
        steps = {"reward": 0.5, "kl_k3": 0.25}
        facts = {"prompts": 32, "episodes": 64, "response_tokens": 958, "first_steps": steps, "last_steps": steps}
    elif METHODS[method].heldout:
        facts["heldout_loss"] = LOSS
    if method == "reward":
        facts |= {"train": {"pairs": 50, "prompts": 20}, "heldout_pairs": PAIRS}
    engine = {"engine": "torch", "dtype": "float32", "processes": 1}
    return {"steps": 22, "resumed_from_step": 0, **engine, **facts, "provenance": {**MADE, "settings": settings}}


def checkpoint_of(
    config: Mapping[str, Any], model: str, method: str, title: str = "SST2", **changed: Any
) -> Checkpoint:
    """A checkpoint with a score of every task for k = 0 and 1, if it is in a table; `changed` are fields."""
    settings = card_settings(config, model, method)
    right = np.array([[True, True, False, True], [True, False, False, False]])
    cells = {k: Cell(right[: k + 1], ("a", "b", "c", "d"), title, unparseable=0.125) for k in (0, 1)}
    fields = {
        "settings": settings,
        "run": run_record(config, model, method),
        "base": {"parameters": 134515008, "weights_sha256": "d" * 64},
        "instructions": {"provenance": {"inputs": {"references": "e" * 64, "comparisons": "f" * 64}}},
        "splits": {"prompts_used": 200, "prompts_found": 478, "counts": {m.split: 176 for m in METHODS.values()}},
        "scores": {(source["task"], k): cells[k] for source in settings["tasks"] for k in (0, 1)},
        "samples": {"heldout": 24, "mean_heldout_reward": 0.343} if method in ("rl_sft", "ppo") else None,
        "chat_template": True,
    }
    return Checkpoint(**{**fields, **changed})


def card_of(config: Mapping[str, Any], model: str, method: str, **options: Any) -> str:
    return model_card(checkpoint_of(config, model, method, **options), TEMPLATE)


def tokens_of(card: str) -> list[Token]:
    """The body of a card, parsed as the hub renders it; what is in a line stands behind its line."""
    body = card.split("\n---\n", 1)[1]
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
    return [token for block in blocks for token in (block, *(block.children or []))]


def shown(token: Token) -> str:
    """What a reader sees of a line."""
    return "".join(child.content for child in token.children or [])


def rows_of(card: str) -> list[list[str]]:
    """The rows of all tables of a card, as they are read."""
    rows: list[list[str]] = []
    for token, after in zip(tokens := tokens_of(card), tokens[1:], strict=False):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append(shown(after))
    return rows


def code_of(card: str) -> str:
    """The one block of code of a card."""
    [block] = [token for token in tokens_of(card) if token.type == "fence"]
    assert block.info == "python"
    return block.content


def ask(card: str, folder: Path, instruction: str, input_text: str = "") -> str:
    """What the code of a card prints, with a prompt of ours in the place of its own."""
    code = code_of(card).replace('folder = "."', f"folder = {str(folder)!r}")
    theirs = re.compile(r"^instruction, input_text = .*$", re.MULTILINE)
    code, count = theirs.subn(lambda _: f"instruction, input_text = {(instruction, input_text)!r}", code)
    assert count == 1
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "card", "exec"), {})
    return printed.getvalue().removesuffix("\n")
