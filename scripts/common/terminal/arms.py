"""Which of the compared methods a job serves."""

from collections.abc import Iterable, Mapping
from typing import Any

from common.config.methods import METHODS
from common.config.selection import rated_checkpoints

BASE, ALL, REINFORCEMENT = "base model", "all methods", "RL"
OF_REINFORCEMENT = {"sample_responses", "render_table2", "render_table4"}
OF_RATING = {"build_human_eval", "score_human_eval"}
OF_TABLE3 = {"download_task", "prepare_task", "render_table1", "render_table3", "render_sensitivity", "render_paired",
             "render_markers"}  # fmt: skip


def arm(method: str) -> str:
    """The arm of the comparison that a trained method belongs to: SFT, RL or CoH, or its own label."""
    return METHODS[method].arm or METHODS[method].label


def served(config: Mapping[str, Any], rule: str, wildcards: Mapping[str, str]) -> str:
    """What a job is done for: one or several methods, the base model they start from, or all.

    Args:
        config: the whole configuration.
        rule: of the workflow.
        wildcards: of the job.
    """
    method = wildcards.get("method") or rule.removeprefix("train_")
    table, model = config["table3"], wildcards.get("model")
    if method == "pretrained":
        return BASE
    if method in METHODS:
        return arm(method)
    if rule in OF_REINFORCEMENT or (model and model not in table["models"]):
        return REINFORCEMENT
    if rule in OF_RATING:
        return _arms(method for _, method in rated_checkpoints(config))
    return _arms(table["methods"]) if rule in OF_TABLE3 else ALL


def _arms(methods: Iterable[str]) -> str:
    """The arms of several methods, each once."""
    return ", ".join(dict.fromkeys(arm(name) for name in methods if name in METHODS)) or BASE
