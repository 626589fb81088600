"""Figures, the report page, the description of a run as a crate, and the project's pages with a run's tables."""


use rule plain_job as render_figures with:
    input:
        PAPER_FILES,
        grid_scores(TABLE3_ROWS),
        TASK_SUMMARIES,
        FIGURE_METRICS,
        f"<results>/models/{REWARD}/reward",
    output:
        [figure_output(name) for name in FIGURES if name != "tradeoffs"],
    pathvars:
        job="render_figures/all",
    localrule: True
    params:
        **calls(
            "render_figures", settings.figure_settings, paper=PAPER, results="<results>", output="<results>/figures"
        ),


use rule plain_job as render_tradeoffs with:
    input:
        table5="<results>/tables/table5.csv",
        costs="<results>/tables/costs.csv",
    output:
        output=figure_output("tradeoffs"),
    pathvars:
        job="render_tradeoffs/all",
    localrule: True
    params:
        **calls("render_tradeoffs", one_base_settings.table5_settings),


# README.md and docs/demo.md with this preset's tables; `make readme` puts them in place.
use rule plain_job as insert_tables with:
    input:
        TRAINED_MODELS,
        pages=[own("README.md"), own("docs/demo.md")],
        tables=expand("<results>/tables/{name}.md", name=["table1", "table2", "table4"]),
        table3="<results>/tables/table3.json",
        table5=["<results>/tables/table5.json"] if TABLE5_ROWS else [],
    output:
        expand("<results>/report/{name}.md", name=["README", "demo"]),
    pathvars:
        job="insert_tables/all",
    localrule: True
    params:
        **calls("insert_tables", settings.readme_settings, models="<results>/models", output="<results>/report"),


# The page that shows everything; its generations are a sample of the score files'.
use rule plain_job as build_report with:
    input:
        PAGE_FILES,
        run_records(),
        shown_answers(),
        CHECKS_JSON,
        ALL_CELLS,
        expand("<results>/tables/{name}.csv", name=["comparison", *["paired"] * ("paired" in TABLES)]),
        tables=expand("<results>/tables/{name}.json", name=TABLES),
        figures=FIGURE_FILES,
        words=WORDS,
    output:
        output=reported("<results>/report/report.html", "page", "Report", "The report page"),
    pathvars:
        job="build_report/all",
    localrule: True
    params:
        **renders("build_report", settings.report_settings, results="<results>", template=own("resources/report")),


# Each trained checkpoint with a model card: `hf upload` needs nothing else.
use rule plain_job as write_model_card with:
    input:
        card_scores,
        lambda wildcards: TASK_SUMMARIES if scores_of(**wildcards) else [],
        model="<results>/models/{model}/{method}",
        base="<results>/models/{model}/pretrained",
        instructions=INSTRUCTIONS[1],
        splits=SPLIT_MANIFEST,
        samples=lambda wildcards: sample_record(**wildcards),
        template=own("resources/hub/model_card.md.jinja"),
    output:
        output=directory("<results>/hub/{model}/{method}"),
    pathvars:
        job="write_model_card/{model}_{method}",
    localrule: True
    params:
        **calls("write_model_card", sharing.card_settings, scores="<results>/eval/{model}/{method}"),


# A machine-readable description of the run (Workflow Run RO-Crate).
use rule plain_job as build_crate with:
    input:
        run_records(),
        expand("<results>/tables/{name}.json", name=TABLES),
        workflow=WORKFLOW_FILES,
        files=[
            *expand("<results>/tables/{name}.csv", name=[*TABLES, "cells"]),
            *CHECKS_JSON,
            *FIGURE_FILES,
            "<results>/report/report.html",
        ],
    output:
        output=directory("<results>/report/crate"),
    pathvars:
        job="build_crate/all",
    localrule: True
    params:
        **calls("build_crate", settings.crate_facts, results="<results>"),


# What `make verify` compares other runs with, once `make expected` has put it in place.
use rule plain_job as collect_facts with:
    input:
        INSTRUCTIONS[0],
        SPLITS + QUESTIONS + MODEL_FOLDERS + grid_scores() + crossed_scores() + SAMPLES + CELLS,
        expand("<results>/tables/{name}.csv", name=[*TABLES, "cells"]),
    output:
        output="<results>/report/facts.json",
    pathvars:
        job="collect_facts/all",
    localrule: True
    params:
        **calls("collect_facts", no_settings, results="<results>"),
