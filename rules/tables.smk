"""Tables rendered from scores, models and samples, and the cells of all of them."""


localrules:
    render_table1,
    render_table2,
    render_table3,
    render_table4,
    render_sensitivity,
    render_paired,
    render_markers,
    collect_cells,


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


rule render_table3:
    input:
        scores=score_hashes(),
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


rule render_table4:
    input:
        samples=sample_artifacts(),
        reward=f"<results>/models/{REWARD()}/reward",
        published="resources/paper/table4.yaml",
        schema="resources/paper/schema.yaml",
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


rule render_sensitivity:
    input:
        scores=score_hashes(),
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
        scores=score_hashes(),
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
        scores=score_hashes(),
        crossed=marker_score_hashes(),
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


rule collect_cells:
    input:
        cell_artifacts(),
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
