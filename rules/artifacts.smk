"""Everything a preset makes, by stage: what the targets ask for and several rules read."""

from common.config.artifact_labels import FIGURE_LABELS, TABLE_LABELS
from common.config.methods import RL_STAGES
from common.paper.published import published_files

MODELS = config["table3"]["models"]
METHODS = config["table3"]["methods"]
TASKS = config["table3"]["tasks"]
TABLES = settings.table_names(config)
CHECKPOINTS = selection.checkpoints(config)
EVALUATED = selection.evaluated(config)
SAMPLED = selection.sampled(config)
TABLE3_ROWS = selection.table3_rows(config)
TABLE5_ROWS = selection.table5_rows(config)
TRAINED = [method for method in METHODS if method != "pretrained"]
ACTOR = config["rl"]["actor"]
REWARD = config["rl"]["reward"]
PAPER = own("resources/paper")
PAPER_SCHEMA = f"{PAPER}/schema.yaml"
PAPER_FILES = [str(path) for path in published_files(Path(PAPER))]
WORKFLOW_FILES = [own("Snakefile"), *own_files("rules/*.smk")]
HARDWARE_FILES = [own("requirements.lock"), own("envs/train.yaml")] + own_files("resources/hardware/*.yaml")
PAGE_FILES = own_files("resources/report/*.jinja") + [own(f"resources/report/report.{kind}") for kind in ("css", "js")]
TABLE_KINDS = ["csv", "md", "tex", "html", "json"]
SPLIT_NAMES = ["sft", "coh", "rl_sft", "rl_reward", "rl_prompts", "heldout"]
SPLIT_NAMES += ["heldout_sft", "heldout_coh", "heldout_rl_reward"]  # one per method with held-out examples
SCORE_KINDS = ["json", "parquet"]
# The outputs of the stages, in order.
INSTRUCTIONS = [f"<results>/data/instructions.{kind}" for kind in ("parquet", "json")]
SPLITS = expand("<results>/data/splits/{split}.parquet", split=SPLIT_NAMES)
SPLIT_MANIFEST = "<results>/data/splits/manifest.json"
QUESTIONS = expand("<results>/data/tasks/{task}/{part}.parquet", task=TASKS, part=["train", "eval"])
TASK_SUMMARIES = expand("<results>/data/tasks/{task}/summary.json", task=TASKS)
MODEL_FOLDERS = [f"<results>/models/{'/'.join(pair)}" for pair in CHECKPOINTS]
TRAINED_MODELS = expand("<results>/models/{model}/{method}", model=MODELS, method=TRAINED)
RL_MODELS = [f"<results>/models/{ACTOR}/rl_sft", f"<results>/models/{REWARD}/reward", f"<results>/models/{ACTOR}/ppo"]
REWARD_MODELS = [f"<results>/models/{'/'.join(pair)}" for pair in CHECKPOINTS if pair[1] == "reward"]
HUB_FOLDERS = [f"<results>/hub/{'/'.join(pair)}" for pair in sharing.shared_checkpoints(config, Path(LOCATION))]
COMPARED_MODELS = [f"<results>/models/{'/'.join(pair)}" for pair in one_base_settings.trainings(config)]
METRICS = [f"<results>/training/{'/'.join(pair)}/metrics.csv" for pair in CHECKPOINTS if pair[1] != "pretrained"]
SHOWN = [*TABLE3_ROWS, *((ACTOR, stage) for stage in RL_STAGES), (REWARD, "reward")]
FIGURE_METRICS = [path for path in METRICS if tuple(Path(path).parts[-3:-1]) in SHOWN]
CURVES = [path.replace("metrics.csv", "curve.svg") for path in METRICS]
STAGE_SAMPLES = expand(f"<results>/samples/{ACTOR}/{{stage}}.parquet", stage=RL_STAGES)
SAMPLES = [f"<results>/samples/{'/'.join(pair)}.{kind}" for pair in SAMPLED for kind in ("parquet", "json")]
RATING_PAGE = expand("<results>/human_eval/{name}", name=["sheet.html", "items.json", "key.json"])
RATING_SUMMARY = "<results>/human_eval/summary.json"
TABLE_FILES = expand("<results>/tables/{name}.{kind}", name=TABLES, kind=TABLE_KINDS)
CELLS = expand("<results>/tables/{name}_cells.csv", name=TABLES)
ALL_CELLS = "<results>/tables/cells.csv"
CHECKS = expand("<results>/report/{name}.{kind}", name=["audit", "claims"], kind=["json", "md"])
CHECKS_JSON = expand("<results>/report/{name}.json", name=["audit", "claims"])
FIGURES = settings.figure_names(config)
FIGURE_FILES = expand("<results>/figures/{name}.svg", name=FIGURES)
REPORT = ["<results>/report/report.html", "<results>/report/crate"]


def sample_record(model, method):
    return [f"<results>/samples/{model}/{method}.json"] if (model, method) in SAMPLED else []


def score_files(folder, draws, suffixes):
    return [f"{folder}/k{k}_seed{seed}.{suffix}" for suffix in suffixes for k, seed in draws]


def grid_scores(pairs=EVALUATED, tasks=None, shots=None, suffixes=SCORE_KINDS):
    """Score files of checkpoints, (model, method) pairs, asked with their own marker."""
    draws = settings.draws(config, shots)
    return [
        path
        for model, method in pairs
        for task in tasks or TASKS
        for path in score_files(f"<results>/eval/{model}/{method}/{task}", draws, suffixes)
    ]


def scores_of(model, method):
    """Score files of a checkpoint; none where it does not answer the tasks."""
    return grid_scores([(model, method)]) if (model, method) in EVALUATED else []


def crossed_scores(pairs=None, models=None, tasks=None, suffixes=SCORE_KINDS):
    """Score files of checkpoints with another marker than their own: (method, marker) pairs not in the main grid."""
    draws = settings.draws(config, config["marker_table"]["shots"])
    return [
        path
        for model in models or MODELS
        for method, marker in pairs or settings.crossed_pairs(config)
        for task in tasks or TASKS
        for path in score_files(f"<results>/markers/{model}/{method}/{marker}/{task}", draws, suffixes)
    ]


def marker_table_scores():
    """What the marker table is made of: some of its rows are in the main grid."""
    shots = config["marker_table"]["shots"]
    own = [pair[0] for pair in settings.marker_pairs(config) if settings.in_grid(config, *pair)]
    return grid_scores([(model, method) for model in MODELS for method in own], shots=shots) + crossed_scores()


def run_records():
    """Results that record how a run was made, except for the tables."""
    scores = grid_scores(suffixes=["json"]) + crossed_scores(suffixes=["json"])
    data = [INSTRUCTIONS[1], SPLIT_MANIFEST, *TASK_SUMMARIES]
    return [*data, *MODEL_FOLDERS, *scores, *RATING_PAGE[1:], RATING_SUMMARY, *MACHINE]


def shown_answers():
    """The files that prompts and answers on the report page are taken from."""
    if not config["report"]["items_per_cell"]:
        return []
    return QUESTIONS + grid_scores(suffixes=["parquet"]) + crossed_scores(suffixes=["parquet"])


def reported(path, caption, category, label):
    """An output that `snakemake --report` shows."""
    text = f"../resources/report/captions/{caption}.rst"
    return report(path, caption=text, category=category, labels={"result": label})


def table_outputs(name):
    """The renderings of a table and its cells; the report shows the HTML."""
    others = [f".{kind}" for kind in TABLE_KINDS if kind != "html"]
    return [
        *expand("<results>/tables/{name}{end}", name=name, end=[*others, "_cells.csv"]),
        reported(f"<results>/tables/{name}.html", name, "Tables", TABLE_LABELS[name]),
    ]


def figure_output(name):
    return reported(f"<results>/figures/{name}.svg", f"{name}_figure", "Figures", FIGURE_LABELS[name])


def check_outputs(name, label):
    """JSON and Markdown of a check of the published numbers."""
    return [f"<results>/report/{name}.json", reported(f"<results>/report/{name}.md", name, "Checks", label)]
