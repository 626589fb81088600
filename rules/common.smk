"""Configuration, wildcards and input functions; nothing heavy is imported here."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from common.base.errors import UserError
from common.config import one_base_settings, selection, settings, sharing
from common.config.loading import load_configuration, refuse_unusable_paths
from common.config.machine_settings import job_threads, machine_settings, refuse_clamped_gpus, refuse_containers
from common.config.methods import METHODS as TRAINING_METHODS
from common.config.outside_files import downloads, instruction_file, rating_files
from common.config.sources import fetched
from common.files.whole_files import canonical_json
from common.jobs import digest


def resolved_configuration():
    """config.yaml, overlays and --config merged and checked; errors are shown without a traceback."""
    overlays = [Path(path) for path in workflow.overwrite_configfiles]
    base = Path(workflow.basedir) / "config.yaml"
    try:
        refuse_containers(method.name for method in workflow.deployment_settings.deployment_method)
        resolved = load_configuration(base, overlays, dict(workflow.config_settings.config))
        refuse_unusable_paths(resolved)
        limit, overruled = workflow.global_resources.get("gpu").value, workflow.resource_settings.overwrite_resources
        refuse_clamped_gpus(resolved["compute"], limit, {name for name, own in overruled.items() if "gpu" in own})
    except UserError as error:
        raise WorkflowError(str(error))
    return resolved


def either(names):
    """A regular expression that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in names)


def own_files(pattern):
    """Files of the project."""
    base = Path(workflow.basedir)
    return sorted(str(path.relative_to(base)) for path in base.glob(pattern))


def model_source(model):
    if model not in config["models"]:
        raise WorkflowError(f"`models` of the configuration has no {model!r}")
    return fetched(config["models"][model]["source"])


config = resolved_configuration()
COMPUTE = config["compute"]
RESULTS = f"results/{config['preset']}"
TRANSLATIONS = {Path(path).stem: path for path in own_files("resources/report/??.yaml")}
LANGUAGE = settings.report_language(config, os.environ, list(TRANSLATIONS))


def model_inputs(wildcards):
    """What prepare_model reads: a download, the instructions (to train a tokenizer on), or a local directory."""
    kind = model_source(wildcards.model)["kind"]
    if kind == "random":
        return {"corpus": "<results>/data/instructions.parquet"}
    if kind == "local":
        return {"files": ancient(model_source(wildcards.model)["path"])}  # its settings hold the files' hashes
    return {"files": f"<results>/downloads/models/{wildcards.model}"}


def reward_model(wildcards):
    """The reward model of an actor."""
    scorers = selection.reward_models(config)
    if wildcards.model not in scorers:
        raise WorkflowError(f"`rl` of the configuration names no reward model for {wildcards.model!r}")
    return f"<results>/models/{scorers[wildcards.model]}/reward"


def task_inputs(wildcards):
    """The two files of a task, local or downloaded."""
    return settings.task_files(config, wildcards.task, f"{RESULTS}/downloads")


def draw_options(shots=None):
    """Every run that evaluate_task makes, `k:seed`."""
    return " ".join(["--draws", *(f"{k}:{seed}" for k, seed in settings.draws(config, shots))])


# Training on GPUs waits for this file. It decides nothing about a model, so its age never retrains one.
MACHINE = [ancient("<results>/report/machine.json")] if settings.machine_is_checked(config) else []
# The texts of another language.
WORDS = [TRANSLATIONS[LANGUAGE]] if LANGUAGE in TRANSLATIONS else []
