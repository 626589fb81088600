"""Figures, the report page, the account of a run, and the README with a run's tables."""


localrules:
    render_figures,
    insert_tables,
    build_report,
    build_crate,


rule render_figures:
    input:
        PAPER_FILES,
        scores=score_hashes(),
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        metrics=training_metrics(),
        reward=f"<results>/models/{REWARD()}/reward",
    output:
        figure_outputs(),
    log:
        "<results>/logs/render_figures/all.log",
    benchmark:
        "<results>/benchmarks/render_figures/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=canonical_json(settings.figure_settings(config)),
        code=script_digest("render_figures.py"),
        paper=subpath(input[0], parent=True),
        results=subpath(output[0], ancestor=2),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/render_figures.py --settings {params.settings:q} --results {params.results:q} --paper {params.paper:q}"
        " --output {params.folder:q} --log {log:q}"


rule insert_tables:
    """The README with this preset's tables; `make readme` puts it in place."""
    input:
        readme="README.md",
        tables=expand(
            "<results>/tables/{name}.md", name=["table3", "table4", "table1", "table2"]
        ),
        models=expand(
            "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
        ),
        curve=(
            f"<results>/training/{MODELS()[0]}/{TRAINED()[-1]}/curve.svg"
            if TRAINED()
            else []
        ),
    output:
        **readme_outputs(),
    log:
        "<results>/logs/insert_tables/all.log",
    benchmark:
        "<results>/benchmarks/insert_tables/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=canonical_json(settings.readme_settings(config)),
        code=script_digest("insert_tables.py"),
        results=subpath(output.readme, ancestor=2),
    shell:
        "exec python scripts/insert_tables.py --settings {params.settings:q} --readme {input.readme:q}"
        " --tables {input.tables:q} --models {params.results:q}/models --curve {input.curve:q} --output {output.readme:q} --log {log:q}"


rule build_report:
    """The page that shows everything; its generations are a sample of the score files'."""
    input:
        PAGE_FILES,
        words=translations(),
        tables=expand("<results>/tables/{name}.json", name=settings.table_names(config)),
        cells="<results>/tables/cells.csv",
        checks=expand("<results>/report/{name}.json", name=["audit", "claims"]),
        figures=figure_artifacts(),
        models=expand(
            "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
        ),
        manifest="<results>/data/splits/manifest.json",
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        scores=[*score_hashes(), *marker_score_hashes()],
    output:
        reported("<results>/report/report.html", "page", "Report", "The report page"),
    log:
        "<results>/logs/build_report/all.log",
    benchmark:
        "<results>/benchmarks/build_report/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.report_settings(config)),
        code=script_digest("build_report.py"),
        template=subpath(input[0], parent=True),
        results=subpath(output[0], ancestor=2),
    shell:
        "exec python scripts/build_report.py --settings {params.settings:q} --results {params.results:q} --template {params.template:q}"
        " --tables {input.tables:q} --figures {input.figures:q} --words {input.words:q} --output {output:q} --log {log:q}"


rule build_crate:
    """A machine-readable account of the run (Workflow Run RO-Crate)."""
    input:
        workflow=WORKFLOW_FILES,
        tables=expand("<results>/tables/{name}.csv", name=settings.table_names(config)),
        cells="<results>/tables/cells.csv",
        checks=expand("<results>/report/{name}.json", name=["audit", "claims"]),
        figures=figure_artifacts(),
        page="<results>/report/report.html",
    output:
        directory("<results>/report/crate"),
    log:
        "<results>/logs/build_crate/all.log",
    benchmark:
        "<results>/benchmarks/build_crate/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=lambda wildcards: canonical_json(settings.crate_facts(config)),
        code=script_digest("build_crate.py"),
        results=subpath(output[0], ancestor=2),
    shell:
        "exec python scripts/build_crate.py --settings {params.settings:q} --results {params.results:q} --workflow {input.workflow:q}"
        " --files {input.tables:q} {input.cells:q} {input.checks:q} {input.figures:q} {input.page:q} --output {output:q} --log {log:q}"
