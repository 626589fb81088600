"""The part of the configuration each job depends on.

A job reruns when its settings change and only then, so each function takes what its job reads and nothing else.
Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from common.config.methods import METHODS
from common.config.selection import (
    checkpoints,
    evaluated,
    rating_pairs,
    table5_models,
    table5_rows,
    used_models,
)
from common.config.sources import fetched
from common.files.content_hashes import content_hashes
from common.files.whole_files import sha256_of_text


def prepare_model_settings(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The source of a base model; of a local one the content of its files too: one written over is another model."""
    source = fetched(config["models"][model]["source"])
    settings: dict[str, Any] = {"source": source}
    if source["kind"] == "random":
        settings["seed"] = config["seed"]
    if source["kind"] == "local":
        settings["files"] = content_hashes(Path(source["path"]))
    return settings


def instruction_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"max_rejected_share": config["instructions"]["max_rejected_share"]}


def split_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": config["seed"], "splits": config["splits"]}


def task_files(config: Mapping[str, Any], task: str, downloads: str) -> dict[str, str]:
    """The two files of a task: local ones, or where `download_task` puts those of the hub under `downloads`."""
    source = config["tasks"][task]["source"]
    if source["kind"] == "files":
        return {"train": source["train"], "eval": source["eval"]}
    suffixes = {part: PurePath(source[part].removesuffix(".gz")).suffix for part in ("train", "eval")}
    return {part: f"{downloads}/tasks/{task}/{part}{suffix}" for part, suffix in suffixes.items()}


def task_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    block = config["tasks"][task]
    return {"task": task, "source": block["source"], "max_rejected_share": block["max_rejected_share"]}


def task_download_settings(config: Mapping[str, Any], task: str, part: str) -> dict[str, Any]:
    source = config["tasks"][task]["source"]
    return {**{key: source.get(key) for key in ("kind", "repository", "revision")}, "file": source.get(part)}


def training_settings(config: Mapping[str, Any], method: str, model: str) -> dict[str, Any]:
    """Everything a checkpoint depends on; this does not include devices and checkpoint intervals."""
    markers = config["prompt"]["markers"]
    used = ("better", "worse", "tie") if method == "coh" else ("response",)
    prompt = {**config["prompt"], "markers": {name: markers[name] for name in used}}
    splits = config["splits"]
    further: dict[str, Any] = {}
    if method == "coh":
        further["ties"] = splits["ties"]
    if METHODS[method].heldout and method != "reward":
        further["heldout_loss"] = method == "rl_sft" or not splits["fine_tune_on_heldout"]
    return {
        "model": model,
        "method": method,
        "seed": config["seed"],
        "prompt": prompt,
        **config["methods"][method],
        **further,
        "compute": _engine(config),
    }


def _engine(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config["compute"][key] for key in ("device", "engine", "gradient_checkpointing")}


def curve_settings(config: Mapping[str, Any], model: str, method: str) -> dict[str, Any]:
    return {"title": f"{config['models'][model]['label']}, {method}"}


def ppo_settings(config: Mapping[str, Any], model: str, method: str = "ppo") -> dict[str, Any]:
    """Everything the policy depends on besides its inputs."""
    markers = {"response": config["prompt"]["markers"]["response"]}
    return {
        "model": model,
        "method": method,
        "seed": config["seed"],
        "prompt": {**config["prompt"], "markers": markers},
        "ppo": config["methods"]["ppo"],
        "compute": _engine(config),
    }


def sample_settings(config: Mapping[str, Any], model: str, method: str) -> dict[str, Any]:
    """Everything the sample responses depend on; the distance from the base model is measured for Table 5 alone."""
    return {
        "model": model,
        "method": method,
        "prompt": ppo_settings(config, model)["prompt"],
        "marker": config["prompt"]["markers"][usual_marker(config, method)],
        "max_new_tokens": config["table4"]["max_new_tokens"],
        "divergence": method != "pretrained" and (model, method) in table5_rows(config),
        "seed": config["seed"],
        "device": config["compute"]["device"],
    }


def divergence_base(config: Mapping[str, Any], model: str, method: str) -> list[str]:
    """The model that the divergence of responses is measured from; none where it is not measured."""
    return [f"<results>/models/{model}/pretrained"] if sample_settings(config, model, method)["divergence"] else []


def table4_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    actor, reward = config["rl"]["actor"], config["rl"]["reward"]
    labels = {role: config["models"][name]["label"] for role, name in (("actor", actor), ("reward", reward))}
    return {"actor": actor, "reward": reward, "labels": labels, "examples": config["table4"]["examples"]}


def usual_marker(config: Mapping[str, Any], method: str) -> str:
    """The marker a method is asked with, a key of `prompt.markers`."""
    return str(config["evaluation"]["markers"].get(method, "response"))


def evaluation_settings(
    config: Mapping[str, Any], model: str, method: str, marker: str | None = None
) -> dict[str, Any]:
    """Everything scores depend on; without `marker` the method's usual one is taken."""
    block = {key: value for key, value in config["evaluation"].items() if key not in ("markers", "shots", "seeds")}
    marker = marker or usual_marker(config, method)
    return {
        "model": model,
        "method": method,
        "seed": config["seed"],
        "marker": config["prompt"]["markers"][marker],
        "device": config["compute"]["device"],
        **block,
    }


def draws(config: Mapping[str, Any], shots: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """(k, seed) of every run: zero-shot once as seed 0, the others once per seed."""
    evaluation = config["evaluation"]
    shots = evaluation["shots"] if shots is None else shots
    return [(k, seed) for k in shots for seed in (evaluation["seeds"] if k else [0])]


def table3_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    models = {
        name: {key: value for key, value in config["models"][name].items() if key != "source"}
        for name in config["table3"]["models"]
    }
    evaluation = config["evaluation"]
    return {**config["table3"], "model_info": models, "shots": evaluation["shots"], "seeds": evaluation["seeds"]}


def table1_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Table 1 has the methods that are fine-tuned on responses; Table 2 those of the RL arm."""
    methods = [name for name in config["table3"]["methods"] if name == "pretrained" or METHODS[name].arm != "RL"]
    return {**table3_settings(config), "methods": methods}


def sensitivity_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table3_settings(config).items() if key != "notes"}


def marker_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    block = config["marker_table"]
    return {
        **sensitivity_settings(config),
        "methods": block["methods"],
        "shots": block["shots"],
        "markers": block["markers"],
        "marker_words": {name: config["prompt"]["markers"][name] for name in block["markers"]},
        "usual": {method: usual_marker(config, method) for method in block["methods"]},
        "in_grid": [f"{method}/{marker}" for method, marker in marker_pairs(config) if in_grid(config, method, marker)],
    }


def marker_pairs(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(method, marker) of the marker table's rows."""
    block = config["marker_table"]
    return [(method, marker) for method in block["methods"] for marker in block["markers"]]


def crossed_pairs(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of the marker table that need their own scores, in addition to those of Table 3."""
    return [pair for pair in marker_pairs(config) if not in_grid(config, *pair)]


def in_grid(config: Mapping[str, Any], method: str, marker: str) -> bool:
    """Whether Table 3's own scores already cover a row of the marker table."""
    covered = set(config["marker_table"]["shots"]) <= set(config["evaluation"]["shots"])
    return covered and method in config["table3"]["methods"] and marker == usual_marker(config, method)


def table_names(config: Mapping[str, Any]) -> list[str]:
    """Tables of a run: comparisons of methods need two methods, the marker table needs a row and a column."""
    crossed = marker_pairs(config) and config["marker_table"]["shots"]
    return [
        *("table1", "table2", "table3", "table4", "human_eval", "sensitivity"),
        *(["paired"] if len(config["table3"]["methods"]) > 1 else []),
        "comparison",
        *(["markers"] if crossed else []),
        *(["table5", "costs"] if table5_rows(config) else []),
    ]


def figure_names(config: Mapping[str, Any]) -> list[str]:
    """Figures of a run; the last one is drawn from Table 5."""
    names = ["accuracy", "learning_curves", "ppo", "reward_accuracy", "sensitivity"]
    return [*names, *(["tradeoffs"] if table5_rows(config) else [])]


def machine_is_checked(config: Mapping[str, Any]) -> bool:
    """Whether training waits for the machine's report."""
    compute = config["compute"]
    return compute["device"] != "cpu" and bool(compute["gpus"]) and bool(compute["preflight"])


def scratch_folder(config: Mapping[str, Any], results: str) -> str:
    """Where jobs keep what they resume from; in a site's folder each working directory has its own place."""
    if not config["site"]["scratch"]:
        return f"{results}/scratch"
    return f"{config['site']['scratch']}/{Path.cwd().name}-{sha256_of_text(str(Path.cwd()))[:8]}/{config['preset']}"


def run_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Which results belong to the run as it is configured; there may be others from earlier runs."""
    shots = sorted({*config["evaluation"]["shots"], *config["marker_table"]["shots"]})
    return {
        "preset": config["preset"],
        "seed": config["seed"],
        "models": {name: config["models"][name] for name in used_models(config)},
        "tasks": config["table3"]["tasks"],
        "tables": table_names(config),
        "checkpoints": ["/".join(pair) for pair in checkpoints(config)],
        "crossed": ["/".join(pair) for pair in crossed_pairs(config)],
        "grid": {
            "models": config["table3"]["models"],
            "evaluated": ["/".join(pair) for pair in evaluated(config)],
            "draws": draws(config),
            "marker_draws": draws(config, config["marker_table"]["shots"]),
        },
        "checks": ["audit", "claims", *(["machine"] if machine_is_checked(config) else [])],
        "draws": draws(config, shots),
    }


def published_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Which models and tasks of a run are those of the paper."""
    chosen = {role: config["models"][config["rl"][role]] for role in ("actor", "reward")}
    return {
        **{key: value for key, value in sensitivity_settings(config).items() if key != "seeds"},
        "base_labels": {name: config["models"][name]["label"] for name in table5_models(config)},
        "published_tasks": {task: config["tasks"][task].get("published") for task in config["table3"]["tasks"]},
        "rl": {
            role: {"name": config["rl"][role], "label": model["label"], "published": model.get("published")}
            for role, model in chosen.items()
        },
    }


def figure_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**published_settings(config), "seeds": config["evaluation"]["seeds"]}


def comparison_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    tolerance = {key: config["report"][key] for key in ("tolerance_points", "widest_interval_points")}
    return {**published_settings(config), "tolerance": tolerance}


def report_language(config: Mapping[str, Any], environment: Mapping[str, str], available: Sequence[str]) -> str:
    """The language of tables and page: the configured one, or the environment's if there are texts for it.

    Args:
        config: the configuration.
        environment: variables of the process; LC_ALL, LC_MESSAGES and LANG are asked in this order, and one that names
            no language (C, POSIX) is passed over.
        available: codes of the languages there are texts for, besides English.
    """
    if config["report"]["language"] != "auto":
        return str(config["report"]["language"])
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        code = environment.get(name, "").split(".")[0].split("_")[0].lower()
        if code not in ("", "c", "posix"):
            return code if code in available else "en"
    return "en"


def report_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the report page says about the configuration."""
    return {
        **run_settings(config),
        "notes": config["table3"]["notes"],
        "items_per_cell": config["report"]["items_per_cell"],
    }


def crate_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the crate of a run says about the configuration; its records say where and how fast it ran."""
    return {
        **run_settings(config),
        "configuration": {key: value for key, value in config.items() if key != "compute"},
    }


def human_eval_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [dict(zip(("model", "first", "second"), pair, strict=True)) for pair in rating_pairs(config)]
    return {"seed": config["seed"], "examples": config["human_eval"]["examples"], "pairs": pairs}


def human_eval_table_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    models = dict.fromkeys(model for model, _, _ in rating_pairs(config))
    labels = {name: config["models"][name]["label"] for name in models}
    return {"actor": config["rl"]["actor"], "labels": labels}


def readme_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    models = config["table3"]["models"]
    return {
        "preset": config["preset"],
        "models": models,
        "labels": {model: config["models"][model]["label"] for model in models},
        "trained": [method for method in config["table3"]["methods"] if method != "pretrained"],
    }
