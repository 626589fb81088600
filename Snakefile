"""SFT, reward-model reinforcement learning and Chain-of-Hindsight compared: from raw data to the paper's tables."""

from snakemake.utils import min_version

min_version("9.27")


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

RUN_LOG = None if MODULE else attach(workflow, config["preset"], RESULTS)


onstart:
    if RUN_LOG:
        from common.terminal.left_jobs import take_over
        from common.terminal.run_start import begin  # takes half a second, which a dry run need not wait for

        take_over(workflow, Path(RESULTS), RUN_LOG.say)
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


rule all:
    default_target: not MODULE
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
    localrule: True


rule downloads:
    """Everything that needs a network; after it the rest runs offline."""
    input:
        downloads(config),
    localrule: True


rule tables:
    input:
        TABLE_FILES,
        CELLS,
        ALL_CELLS,
    localrule: True


named = workflow.modifier.modify_rulename
makers = {"eval": named("evaluate_task"), "markers": named("evaluate_marker")}
know_scores(workflow, there, {f"{LOCATION}/{folder}/": maker for folder, maker in makers.items()})
workflow.get_rule(named("write_model_card")).dependencies[card_scores] = makers["eval"]
