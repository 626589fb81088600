"""The part of the configuration each job depends on.

A job reruns when its settings change and only then, so each function takes what its job reads and nothing else.
Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Mapping
from typing import Any


def prepare_model_settings(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    source = config["models"][model]["source"]
    settings = {"source": source}
    if source["kind"] == "random":
        settings["seed"] = config["seed"]
    return settings


def split_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": config["seed"], "splits": config["splits"]}


def task_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    block = config["tasks"][task]
    return {"task": task, "source": block["source"], "max_rejected_share": block["max_rejected_share"]}


def task_download_settings(config: Mapping[str, Any], task: str, part: str) -> dict[str, Any]:
    source = config["tasks"][task]["source"]
    return {**{key: source.get(key) for key in ("kind", "repository", "revision")}, "file": source.get(part)}


def training_settings(config: Mapping[str, Any], method: str, model: str) -> dict[str, Any]:
    """Everything a checkpoint depends on; devices and checkpoint intervals are not among it."""
    markers = config["prompt"]["markers"]
    used = {"sft": ("response",), "coh": ("better", "worse", "tie")}[method]
    prompt = {**config["prompt"], "markers": {name: markers[name] for name in used}}
    engine = {key: config["compute"][key] for key in ("device", "engine", "gradient_checkpointing")}
    return {
        "model": model,
        "method": method,
        "seed": config["seed"],
        "prompt": prompt,
        "heldout_loss": not config["splits"]["fine_tune_on_heldout"],
        **config["methods"][method],
        **({"ties": config["splits"]["ties"]} if method == "coh" else {}),
        "compute": engine,
    }


def evaluation_settings(config: Mapping[str, Any], model: str, method: str, task: str) -> dict[str, Any]:
    block = {key: value for key, value in config["evaluation"].items() if key != "markers"}
    marker = config["evaluation"]["markers"].get(method, "response")
    return {
        "model": model,
        "method": method,
        "task": task,
        "seed": config["seed"],
        "marker": config["prompt"]["markers"][marker],
        "device": config["compute"]["device"],
        **block,
    }


def draws(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(k, seed) of every run: zero-shot once as seed 0, the others once a seed."""
    evaluation = config["evaluation"]
    return [(k, seed) for k in evaluation["shots"] for seed in (evaluation["seeds"] if k else [0])]


def table3_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    models = {
        name: {key: value for key, value in config["models"][name].items() if key != "source"}
        for name in config["table3"]["models"]
    }
    evaluation = config["evaluation"]
    return {**config["table3"], "models": models, "shots": evaluation["shots"], "seeds": evaluation["seeds"]}
