"""The blind comparison of stages 1 and 3 by people: rating page, key, and the score of the ratings handed in."""


localrules:
    build_human_eval,
    score_human_eval,


rule build_human_eval:
    input:
        stage1=f"<results>/samples/{config['rl']['actor']}/rl_sft.parquet",
        stage3=f"<results>/samples/{config['rl']['actor']}/ppo.parquet",
        template="resources/human_eval/sheet.html",
        style="resources/human_eval/sheet.css",
        script="resources/human_eval/sheet.js",
    output:
        page="<results>/human_eval/sheet.html",
        shown="<results>/human_eval/items.json",
        key="<results>/human_eval/key.json",
    log:
        "<results>/logs/build_human_eval/all.log",
    benchmark:
        "<results>/benchmarks/build_human_eval/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=canonical_json(settings.human_eval_settings(config)),
        code=script_digest("build_human_eval.py"),
        folder=subpath(output.page, parent=True),
    shell:
        "exec python scripts/build_human_eval.py --settings {params.settings:q} --stage1 {input.stage1:q} --stage3 {input.stage3:q}"
        " --template {input.template:q} --style {input.style:q} --script {input.script:q} --output {params.folder:q} --log {log:q}"


rule score_human_eval:
    input:
        shown="<results>/human_eval/items.json",
        key="<results>/human_eval/key.json",
        published="resources/paper/human_evaluation.yaml",
        ratings=human_eval_ratings,
        words=translations(),
    output:
        table_outputs("human_eval"),
        cells="<results>/tables/human_eval_cells.csv",
        summary="<results>/human_eval/summary.json",
    log:
        "<results>/logs/score_human_eval/all.log",
    benchmark:
        "<results>/benchmarks/score_human_eval/all.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=table_settings({}),
        code=script_digest("score_human_eval.py"),
        folder=subpath(output.cells, parent=True),
    shell:
        "exec python scripts/score_human_eval.py --settings {params.settings:q} --items {input.shown:q} --key {input.key:q}"
        " --published {input.published:q} --ratings {input.ratings:q} --summary {output.summary:q} --tables {params.folder:q} --words {input.words:q} --log {log:q}"
