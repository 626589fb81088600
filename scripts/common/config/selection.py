"""What a run consists of: the checkpoints it trains, evaluates and asks for responses.

Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from common.config.methods import METHODS, RL_STAGES

Checkpoint = tuple[str, str]


def reward_models(config: Mapping[str, Any]) -> dict[str, str]:
    """By actor, the model that its reward model starts from; the paper's pair stands first."""
    rl = config["rl"]
    return {rl["actor"]: rl["reward"], **rl["reward_models"]}


def table5_models(config: Mapping[str, Any]) -> list[str]:
    """Base models of Table 5: as configured, or the paper's actor."""
    configured, methods = config["table5"]["models"], config["table5"]["methods"]
    return list(configured or [config["rl"]["actor"]]) if methods else []


def table3_rows(config: Mapping[str, Any]) -> list[Checkpoint]:
    """(model, method) of Table 3's rows."""
    return _rows(config["table3"])


def table5_rows(config: Mapping[str, Any]) -> list[Checkpoint]:
    """(model, method) of Table 5's rows."""
    return _rows({**config["table5"], "models": table5_models(config)})


def _rows(table: Mapping[str, Any]) -> list[Checkpoint]:
    return [(model, method) for model in table["models"] for method in table["methods"]]


def evaluated(config: Mapping[str, Any]) -> list[Checkpoint]:
    """Checkpoints that answer the tasks."""
    return list(dict.fromkeys([*table3_rows(config), *table5_rows(config)]))


def rating_pairs(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(model, first, second) of every two methods that people compare; by default the paper's stages 1 and 3.

    These two are the first pair and in the paper's order, wherever and however the configuration names them.
    """
    actor = config["rl"]["actor"]
    paper, turned = (actor, *RL_STAGES), (actor, *reversed(RL_STAGES))
    asked = [(pair["model"], pair["first"], pair["second"]) for pair in config["human_eval"]["pairs"]]
    pairs = [paper if pair == turned else pair for pair in asked] or [paper]
    return sorted(pairs, key=lambda pair: pair != paper)


def rated_checkpoints(config: Mapping[str, Any]) -> list[Checkpoint]:
    """(model, method) of everything that people compare, each once."""
    return list(dict.fromkeys((model, method) for model, *two in rating_pairs(config) for method in two))


def sampled(config: Mapping[str, Any]) -> list[Checkpoint]:
    """Checkpoints whose responses to prompts are wanted: the paper's stages, the rows of Table 5, what people rate."""
    stages = [(config["rl"]["actor"], stage) for stage in RL_STAGES]
    return list(dict.fromkeys([*stages, *table5_rows(config), *rated_checkpoints(config)]))


def checkpoints(config: Mapping[str, Any]) -> list[Checkpoint]:
    """Every checkpoint of a run, each once; one that another starts from stands before it."""
    return with_starts(config, [*evaluated(config), *sampled(config)])


def used_models(config: Mapping[str, Any]) -> list[str]:
    """Every base model of a run, each once."""
    return list(dict.fromkeys(model for model, _ in checkpoints(config)))


def with_starts(config: Mapping[str, Any], wanted: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Checkpoints and all that they start from, each once and after those it starts from."""
    found = [one for pair in wanted for one in (*with_starts(config, starts_of(config, *pair)), pair)]
    return list(dict.fromkeys(found))


def starts_of(config: Mapping[str, Any], model: str, method: str) -> list[Checkpoint]:
    """The checkpoints that one starts from; the reward model may be another base model's."""
    if method == "pretrained":
        return []
    return [
        (reward_models(config)[model] if start == "reward" else model, start) for start in METHODS[method].starts_from
    ]
