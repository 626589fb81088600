"""Configuration, wildcards and input functions; nothing heavy is imported here."""

import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from common.base.errors import UserError
from common.config import settings
from common.config.loading import load_configuration, refuse_missing_paths
from common.config.methods import METHODS as TRAINING_METHODS
from common.files.whole_files import canonical_json
from common.jobs import digest


def resolved_configuration():
    """config.yaml, overlays and --config merged and checked; errors are told without a traceback."""
    overlays = [Path(path) for path in workflow.overwrite_configfiles]
    base = Path(workflow.basedir) / "config.yaml"
    try:
        resolved = load_configuration(
            base, overlays, dict(workflow.config_settings.config)
        )
        refuse_missing_paths(resolved)
        refuse_clamped_gpus(resolved["compute"])
    except UserError as error:
        raise WorkflowError(str(error))
    return resolved


def refuse_clamped_gpus(compute):
    """Stop where Snakemake would silently give jobs fewer GPUs than the configuration asks for."""
    limit = workflow.global_resources.get("gpu").value
    overwritten = workflow.resource_settings.overwrite_resources
    rules_of = {
        "gpus": [f"train_{name}" for name in TRAINING_METHODS],
        "evaluation_gpus": ["evaluate_task", "evaluate_marker", "sample_responses"],
    }
    for key, names in rules_of.items():
        left = [name for name in names if "gpu" not in overwritten.get(name, {})]
        if limit is not None and left and compute[key] > limit:
            raise UserError(
                f"compute.{key} asks for {compute[key]} GPUs a job, the limit of this run is {limit}",
                "`resources` of the profile, or --resources gpu=N",
                f"set compute.{key} to {limit} or less, or raise the limit",
            )


def either(names):
    """A regular expression that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in names)


def model_source(wildcards):
    if wildcards.model not in config["models"]:
        raise WorkflowError(f"`models` of the configuration has no {wildcards.model!r}")
    return config["models"][wildcards.model]["source"]


config = resolved_configuration()
RESULTS = f"results/{config['preset']}"
TRANSLATIONS = {
    path.stem: str(path.relative_to(workflow.basedir))
    for path in sorted(Path(workflow.basedir).glob("resources/report/??.yaml"))
}
LANGUAGE = settings.report_language(config, os.environ, list(TRANSLATIONS))


# --- inputs that depend on the kind of a source ---------------------------------------------------------------


def model_inputs(wildcards):
    """What prepare_model reads: a download, the instructions (to train a tokenizer on), or a local directory."""
    kind = model_source(wildcards)["kind"]
    if kind == "random":
        return {"corpus": "<results>/data/instructions.parquet"}
    if kind == "local":
        return {"files": model_source(wildcards)["path"]}
    return {"files": f"<results>/downloads/models/{wildcards.model}"}


def instruction_file(part):
    source = config["instructions"][part]
    return (
        source["path"]
        if source["kind"] == "file"
        else f"<results>/downloads/instructions/{part}.json"
    )


def task_inputs(wildcards):
    """The two files of a task, local or downloaded."""
    return settings.task_files(config, wildcards.task, f"{RESULTS}/downloads")


def as_options(wildcards, input):
    """Named inputs as command-line options: `--name path`."""
    return " ".join(
        f"--{name} {shlex.quote(str(path))}" for name, path in input.items()
    )


def draw_options(shots=None):
    """`k:seed` of every run, for evaluate_task's command line."""
    return " ".join(f"{k}:{seed}" for k, seed in settings.draws(config, shots))


def machine_report():
    """What training on GPUs waits for. It decides nothing about a model, so its age never retrains one."""
    compute = config["compute"]
    if compute["device"] == "cpu" or not compute["gpus"] or not compute["preflight"]:
        return []
    return ancient("<results>/report/machine.json")


def table_settings(block):
    """A table's part of the configuration, with the language it is written in."""
    return canonical_json({**block, "language": LANGUAGE})


def translations():
    """The texts of another language, as an input."""
    return [TRANSLATIONS[LANGUAGE]] if LANGUAGE in TRANSLATIONS else []


def script_digest(script):
    """The digest of a script's code, computed when a job is planned: on a cluster each job starts a Snakemake of its own."""
    return lambda wildcards: digest.script_digest(script)


def training_params(method, settings_of=None):
    """Parameters of a method's training rule: the rule, its script and its scratch folder share one name."""
    script = f"train_{method}.py"
    chosen = settings_of or (
        lambda model: settings.training_settings(config, method, model)
    )
    return {
        "script": script,
        "settings": lambda wildcards: canonical_json(chosen(wildcards.model)),
        "code": script_digest(script),
        "scratch": f"{RESULTS}/scratch/train_{method}/{{model}}",
    }
