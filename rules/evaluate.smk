"""Scores: one job a checkpoint and task, all numbers of shots and seeds from one model load."""


rule evaluate_task:
    input:
        model="<results>/models/{model}/{method}",
        train="<results>/data/tasks/{task}/train.parquet",
        eval="<results>/data/tasks/{task}/eval.parquet",
    output:
        scores(suffix="json"),
        scores(suffix="parquet"),
    log:
        "<results>/logs/evaluate_task/{model}_{method}_{task}.log",
    benchmark:
        "<results>/benchmarks/evaluate_task/{model}_{method}_{task}.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: config["compute"]["evaluation_threads"]
    resources:
        gpu=config["compute"]["evaluation_gpus"],
        device=config["compute"]["device"],
        mem_mb=8000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.evaluation_settings(config, **wildcards)
        ),
        code=script_digest("evaluate_task.py"),
        draws=draw_options(),
        scratch=f"{RESULTS}/scratch/evaluate_task/{{model}}_{{method}}_{{task}}",
        task=subpath(input.eval, parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --device {resources.device} --threads {threads}"
        " scripts/evaluate_task.py --settings {params.settings:q} --model {input.model:q} --task {params.task:q}"
        " --draws {params.draws} --scratch {params.scratch:q}"
        " --output {params.folder:q} --log {log:q}"


use rule evaluate_task as evaluate_marker with:
    output:
        marker_scores(suffix="json"),
        marker_scores(suffix="parquet"),
    log:
        "<results>/logs/evaluate_marker/{model}_{method}_{marker}_{task}.log",
    benchmark:
        "<results>/benchmarks/evaluate_marker/{model}_{method}_{marker}_{task}.tsv"
    params:
        settings=lambda wildcards: canonical_json(
            settings.evaluation_settings(config, **wildcards)
        ),
        code=script_digest("evaluate_task.py"),
        draws=draw_options(config["marker_table"]["shots"]),
        scratch=f"{RESULTS}/scratch/evaluate_marker/{{model}}_{{method}}_{{marker}}_{{task}}",
        task=subpath(input.eval, parent=True),
        folder=subpath(output[0], parent=True),
