"""SFT, reward-model reinforcement learning and Chain-of-Hindsight compared: from raw data to the paper's tables."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "resources/report/workflow.rst"


include: "rules/common.smk"
include: "rules/artifacts.smk"
include: "rules/calls.smk"
include: "rules/jobs.smk"


pathvars:
    results=RESULTS,


include: "rules/data.smk"
include: "rules/preflight.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/human_eval.smk"
include: "rules/tables.smk"
include: "rules/report.smk"
include: "rules/audit.smk"


from common.terminal.run_log import attach

RUN_LOG = attach(workflow, config["preset"], RESULTS)


onstart:
    if RUN_LOG:
        from common.terminal.run_start import begin  # takes half a second, which a dry run need not wait for

        begin(RUN_LOG, workflow, config, RESULTS)


onsuccess:
    if RUN_LOG:
        RUN_LOG.end()


onerror:
    if RUN_LOG:
        RUN_LOG.end_with_failures()


wildcard_constraints:
    # Any name: a choice of all models would be tried one by one for every path, so planning would grow quadratically.
    model="[^/]+",
    task=either(config["tasks"]),
    method="[a-z0-9_]+",


localrules:
    all,
    downloads,
    tables,


rule all:
    default_target: True
    input:
        INSTRUCTIONS,
        SPLITS,
        SPLIT_MANIFEST,
        QUESTIONS,
        TASK_SUMMARIES,
        MODEL_FOLDERS,
        METRICS,
        CURVES,
        grid_scores(),
        crossed_scores(),
        SAMPLES,
        TABLE_FILES,
        CELLS,
        ALL_CELLS,
        RATING_PAGE,
        RATING_SUMMARY,
        CHECKS,
        FIGURE_FILES,
        HUB_FOLDERS,
        REPORT,


rule downloads:
    """Everything that needs a network; after it the rest runs offline."""
    input:
        downloads(config),


rule tables:
    input:
        TABLE_FILES,
        CELLS,
        ALL_CELLS,


know_scores(workflow, there, {f"{RESULTS}/eval/": "evaluate_task", f"{RESULTS}/markers/": "evaluate_marker"})
workflow.get_rule("write_model_card").dependencies[card_scores] = "evaluate_task"
