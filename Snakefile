"""SFT, reward-model reinforcement learning and Chain-of-Hindsight compared: from raw data to the paper's tables."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "resources/report/workflow.rst"


include: "rules/common.smk"
include: "rules/artifacts.smk"


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


wildcard_constraints:
    # After the rules, or Snakemake would not know `rules.evaluate_task.output` again, which `hash_scores` relies on.
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
        data_artifacts(),
        training_artifacts(),
        score_hashes(),
        marker_score_hashes(),
        lost_scores,
        sample_artifacts(),
        sample_artifacts("json"),
        table_artifacts(),
        human_eval_artifacts(),
        audit_artifacts(),
        figure_artifacts(),
        report_artifacts(),


rule downloads:
    """Everything that needs a network; after it the rest runs offline."""
    input:
        download_artifacts(),


rule tables:
    input:
        table_artifacts(),
