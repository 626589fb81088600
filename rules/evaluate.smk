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
    threads: config["compute"]["threads"]
    resources:
        gpu=config["compute"]["evaluation_gpus"],
        mem_mb=8000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.evaluation_settings(config, **wildcards)
        ),
        code=script_digest("evaluate_task.py"),
        draws=" ".join(f"{k}:{seed}" for k, seed in settings.draws(config)),
        scratch=f"{RESULTS}/scratch/evaluate_task/{{model}}_{{method}}_{{task}}",
        task=subpath(input.eval, parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --threads {threads} scripts/evaluate_task.py"
        " --settings {params.settings:q} --model {input.model:q} --task {params.task:q} --draws {params.draws}"
        " --scratch {params.scratch:q}"
        " --output {params.folder:q} --log {log:q}"
