"""Tables rendered from the scores."""


localrules:
    render_table1,
    render_table2,
    render_table3,
    render_table4,
    render_sensitivity,
    render_paired,
    render_markers,
    render_figures,
    collect_cells,
    insert_tables,
    build_report,
    build_crate,


rule render_table1:
    input:
        models=expand(
            "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
        ),
        words=translations(),
    output:
        table_outputs("table1"),
        cells="<results>/tables/table1_cells.csv",
    log:
        "<results>/logs/render_table1/all.log",
    benchmark:
        "<results>/benchmarks/render_table1/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.table3_settings(config)),
        code=script_digest("render_table1.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_table1.py --settings {params.settings:q} --models {params.results:q}/models"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_table2:
    input:
        models=[f"<results>/models/{model}/{method}" for model, method in rl_models()],
        words=translations(),
    output:
        table_outputs("table2"),
        cells="<results>/tables/table2_cells.csv",
    log:
        "<results>/logs/render_table2/all.log",
    benchmark:
        "<results>/benchmarks/render_table2/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.table4_settings(config)),
        code=script_digest("render_table2.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_table2.py --settings {params.settings:q} --models {params.results:q}/models"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_table4:
    input:
        samples=sample_artifacts(),
        reward=f"<results>/models/{REWARD()}/reward",
        published="resources/paper/table4.yaml",
        words=translations(),
    output:
        table_outputs("table4"),
        cells="<results>/tables/table4_cells.csv",
    log:
        "<results>/logs/render_table4/all.log",
    benchmark:
        "<results>/benchmarks/render_table4/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.table4_settings(config)),
        code=script_digest("render_table4.py"),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_table4.py --settings {params.settings:q} --samples {input.samples:q}"
        " --reward {input.reward:q} --published {input.published:q} --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_table3:
    input:
        scores=evaluation_artifacts(),
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        models=expand(
            "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
        ),
        words=translations(),
    output:
        table_outputs("table3"),
        cells="<results>/tables/table3_cells.csv",
    log:
        "<results>/logs/render_table3/all.log",
    benchmark:
        "<results>/benchmarks/render_table3/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.table3_settings(config)),
        code=script_digest("render_table3.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_table3.py --settings {params.settings:q} --eval {params.results:q}/eval --models {params.results:q}/models"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_sensitivity:
    input:
        scores=evaluation_artifacts(),
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        words=translations(),
    output:
        table_outputs("sensitivity"),
        cells="<results>/tables/sensitivity_cells.csv",
    log:
        "<results>/logs/render_sensitivity/all.log",
    benchmark:
        "<results>/benchmarks/render_sensitivity/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.sensitivity_settings(config)),
        code=script_digest("render_sensitivity.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_sensitivity.py --settings {params.settings:q} --eval {params.results:q}/eval"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_paired:
    input:
        scores=evaluation_artifacts(),
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        words=translations(),
    output:
        table_outputs("paired"),
        cells="<results>/tables/paired_cells.csv",
    log:
        "<results>/logs/render_paired/all.log",
    benchmark:
        "<results>/benchmarks/render_paired/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.sensitivity_settings(config)),
        code=script_digest("render_paired.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_paired.py --settings {params.settings:q} --eval {params.results:q}/eval"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_markers:
    input:
        scores=evaluation_artifacts(),
        crossed=marker_artifacts(),
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        words=translations(),
    output:
        table_outputs("markers"),
        cells="<results>/tables/markers_cells.csv",
    log:
        "<results>/logs/render_markers/all.log",
    benchmark:
        "<results>/benchmarks/render_markers/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=table_settings(settings.marker_settings(config)),
        code=script_digest("render_markers.py"),
        results=subpath(output.cells, ancestor=2),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/render_markers.py --settings {params.settings:q} --results {params.results:q}"
        " --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule render_figures:
    input:
        PAPER_FILES,
        scores=evaluation_artifacts(),
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


rule collect_cells:
    input:
        expand("<results>/tables/{name}_cells.csv", name=table_names()),
    output:
        "<results>/tables/cells.csv",
    log:
        "<results>/logs/collect_cells/all.log",
    benchmark:
        "<results>/benchmarks/collect_cells/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=canonical_json({}),
        code=script_digest("collect_cells.py"),
    shell:
        "exec python scripts/collect_cells.py --settings {params.settings:q} --cells {input:q} --output {output:q} --log {log:q}"


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
        "<results>/report/README.md",
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
        results=subpath(output[0], ancestor=2),
    shell:
        "exec python scripts/insert_tables.py --settings {params.settings:q} --readme {input.readme:q}"
        " --tables {input.tables:q} --models {params.results:q}/models --curve {input.curve:q} --output {output:q} --log {log:q}"


rule build_report:
    """The page that shows everything; its generations are a sample of the score files'."""
    input:
        PAGE_FILES,
        words=translations(),
        tables=expand("<results>/tables/{name}.json", name=table_names()),
        cells="<results>/tables/cells.csv",
        checks=expand("<results>/report/{name}.json", name=["audit", "claims"]),
        figures=figure_artifacts(),
        models=expand(
            "<results>/models/{model}/{method}", model=MODELS(), method=METHODS()
        ),
        manifest="<results>/data/splits/manifest.json",
        tasks=expand("<results>/data/tasks/{task}/summary.json", task=TASKS()),
        scores=[*evaluation_artifacts(), *marker_artifacts()],
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
        tables=expand("<results>/tables/{name}.csv", name=table_names()),
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
