"""What the table of all methods on one base model depends on, and the table of their costs.

Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Mapping
from typing import Any

from common.config.methods import METHODS
from common.config.selection import reward_models, table5_models, table5_rows, with_starts


def table5_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Table 5 is about the tasks, draws and items of Table 3, and about the held-out prompts."""
    models, scorers = table5_models(config), reward_models(config)
    return {
        "models": models,
        "methods": config["table5"]["methods"],
        "model_info": {name: {"label": config["models"][name]["label"]} for name in models},
        "rewards": {name: scorers[name] for name in models},
        "reward_labels": {name: config["models"][scorers[name]]["label"] for name in models},
        "heldout_trained_on": config["splits"]["fine_tune_on_heldout"],
        **{key: config["evaluation"][key] for key in ("shots", "seeds")},
        "tasks": config["table3"]["tasks"],
    }


def trainings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(model, method) of all trainings behind Table 5, each once."""
    return [pair for pair in with_starts(config, table5_rows(config)) if pair[1] != "pretrained"]


def learnt_splits(config: Mapping[str, Any]) -> list[str]:
    """The splits that the trainings behind Table 5 learn from, each once."""
    return list(dict.fromkeys(METHODS[method].split for _, method in trainings(config)))


def costs_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of Table 5, each with the trainings behind it in order, and the split that each of them learns from."""

    def chain_of(row: tuple[str, str]) -> list[tuple[str, str, str]]:
        chain = with_starts(config, [row])
        return [(model, method, METHODS[method].split) for model, method in chain if method != "pretrained"]

    labels = {name: config["models"][name]["label"] for name in table5_models(config)}
    rows = [
        {"model": model, "method": method, "trainings": chain_of((model, method))}
        for model, method in table5_rows(config)
    ]
    return {"labels": labels, "rows": rows}
