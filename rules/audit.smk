"""The published numbers: audited by themselves, beside ours, and against what the paper claims."""


localrules:
    audit_paper,
    compare_tables,
    check_claims,


rule audit_paper:
    input:
        PAPER_FILES,
    output:
        check_outputs("audit", "Audit of the published tables"),
    log:
        "<results>/logs/audit_paper/all.log",
    benchmark:
        "<results>/benchmarks/audit_paper/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=canonical_json({}),
        code=script_digest("audit_paper.py"),
        paper=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/audit_paper.py --settings {params.settings:q} --paper {params.paper:q}"
        " --output {params.folder:q} --log {log:q}"


rule compare_tables:
    input:
        PAPER_FILES,
        table3="<results>/tables/table3.csv",
        hyper_parameters=expand(
            "<results>/tables/{name}_cells.csv", name=["table1", "table2"]
        ),
        words=translations(),
    output:
        table_outputs("comparison"),
        cells="<results>/tables/comparison_cells.csv",
    log:
        "<results>/logs/compare_tables/all.log",
    benchmark:
        "<results>/benchmarks/compare_tables/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=table_settings(settings.comparison_settings(config)),
        code=script_digest("compare_tables.py"),
        paper=subpath(input[0], parent=True),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/compare_tables.py --settings {params.settings:q} --paper {params.paper:q}"
        " --table3 {input.table3:q} --hyper-parameters {input.hyper_parameters:q} --output {params.folder:q} --words {input.words:q} --log {log:q}"


rule check_claims:
    input:
        PAPER_FILES,
        table3="<results>/tables/table3.csv",
        paired=(["<results>/tables/paired.csv"] if len(METHODS()) > 1 else []),
        samples=sample_artifacts(),
        ratings="<results>/human_eval/summary.json",
    output:
        check_outputs("claims", "Claims of the paper"),
    log:
        "<results>/logs/check_claims/all.log",
    benchmark:
        "<results>/benchmarks/check_claims/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=canonical_json(settings.published_settings(config)),
        code=script_digest("check_claims.py"),
        paper=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/check_claims.py --settings {params.settings:q} --paper {params.paper:q}"
        " --table3 {input.table3:q} --paired {input.paired:q} --samples {input.samples:q} --ratings {input.ratings:q}"
        " --output {params.folder:q} --log {log:q}"
