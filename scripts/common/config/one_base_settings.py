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


def costs_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of Table 5, each with the trainings behind it in order, and the split that each of them learns from."""

    def trainings(row: tuple[str, str]) -> list[tuple[str, str, str]]:
        chain = with_starts(config, [row])
        return [(model, method, METHODS[method].split) for model, method in chain if method != "pretrained"]

    labels = {name: config["models"][name]["label"] for name in table5_models(config)}
    rows = [
        {"model": model, "method": method, "trainings": trainings((model, method))}
        for model, method in table5_rows(config)
    ]
    return {"labels": labels, "rows": rows}
