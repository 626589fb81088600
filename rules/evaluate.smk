"""Scores: one job a checkpoint and task, all numbers of shots and seeds from one model load."""


localrules:
    hash_scores,
    hash_marker_scores,


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


rule hash_scores:
    """One file that changes with any score file of a job: what a rule that reads scores waits for.

    Snakemake compares each file that a rule names with every output of `evaluate_task`, so rules that name all score
    files let planning grow with the square of the draws. Outputs named by their rule, as here, are found at once.
    """
    input:
        rules.evaluate_task.output,
    output:
        "<results>/eval/{model}/{method}/{task}/scores.sha256",
    log:
        "<results>/logs/hash_scores/{model}_{method}_{task}.log",
    benchmark:
        "<results>/benchmarks/hash_scores/{model}_{method}_{task}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    shell:
        "sha256sum {input:q} > {output:q} 2> {log:q}"


use rule hash_scores as hash_marker_scores with:
    input:
        rules.evaluate_marker.output,
    output:
        "<results>/markers/{model}/{method}/{marker}/{task}/scores.sha256",
    log:
        "<results>/logs/hash_marker_scores/{model}_{method}_{marker}_{task}.log",
    benchmark:
        "<results>/benchmarks/hash_marker_scores/{model}_{method}_{marker}_{task}.tsv"
