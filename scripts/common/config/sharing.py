"""What is shared of a run: its trained checkpoints, and what their model cards say of the configuration.

Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config.methods import learnt_files
from common.config.selection import Checkpoint, checkpoints, evaluated, reward_models
from common.config.settings import draws, usual_marker


def shared_checkpoints(config: Mapping[str, Any], results: Path) -> list[Checkpoint]:
    """Trained checkpoints, made or still to be made; not those of an archive, which came without weights."""
    folders = {pair: results.joinpath("models", *pair) for pair in checkpoints(config) if pair[1] != "pretrained"}
    return [pair for pair, folder in folders.items() if not folder.exists() or any(folder.glob("*.safetensors"))]


def card_settings(config: Mapping[str, Any], model: str, method: str) -> dict[str, Any]:
    """What a model card says of the configuration; all else is in the records."""
    scorer = reward_models(config).get(model)
    tasks = config["table3"]["tasks"] if (model, method) in evaluated(config) else []
    return {
        "preset": config["preset"],
        "model": {"name": model, **config["models"][model]},
        "method": method,
        "marker": config["prompt"]["markers"][usual_marker(config, method)],
        "max_new_tokens": config["table4"]["max_new_tokens"],
        "data": {part: config["instructions"][part] for part in learnt_files(method)},
        "tasks": [{"task": task, **config["tasks"][task]["source"]} for task in tasks],
        "draws": draws(config) if tasks else [],
        "reward_model": config["models"][scorer]["label"] if scorer else None,
        "notes": config["table3"]["notes"],
    }
