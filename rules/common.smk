"""Configuration, wildcards and input functions; nothing heavy is imported here."""

import atexit
import gc
import os
import re
import shlex
import sys
from pathlib import Path

# The graph of a large grid is millions of objects that live to the end: walking them again and again frees nothing.
gc.set_threshold(200_000, 50, 1000)
atexit.register(gc.freeze)

PACKAGE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve().parent
if not PACKAGE.is_dir():
    raise WorkflowError(
        f"error: the workflow is read from {PACKAGE}, which is no folder of this machine\n"
        "  what to do: clone the repository and name the Snakefile of the clone; its scripts are needed beside it"
    )
sys.path.insert(0, str(PACKAGE / "scripts"))

from common.config import one_base_settings, selection, settings, sharing
from common.config.local_files import Places
from common.config.machine_settings import machine_settings
from common.config.methods import METHODS as TRAINING_METHODS
from common.config.outside_files import downloads, instruction_file, rating_files
from common.config.resolving import resolve
from common.config.sources import fetched
from common.files.whole_files import canonical_json
from common.jobs import digest
from common.jobs.retries import retry_by_kind

MODULE = not workflow.modifier.is_main_snakefile()
PLACES = Places(package=PACKAGE, working=Path.cwd(), absolute=MODULE)
own, own_files = PLACES.own, PLACES.own_files  # files of the project, as the working directory sees them


def either(names):
    """A regular expression that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in names)


def model_source(model):
    if model not in config["models"]:
        raise WorkflowError(f"`models` of the configuration has no {model!r}")
    return fetched(config["models"][model]["source"])


config = resolve(workflow, config, PLACES)
retry_by_kind()
COMPUTE = config["compute"]
RESULTS = f"results/{config['preset']}"
LOCATION = workflow.modifier.path_modifier.replace_prefix(RESULTS)  # the same below the prefix of a module statement
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
