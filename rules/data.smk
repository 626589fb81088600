"""Downloads, instructions and their splits, evaluation tasks."""


localrules:
    download_model,
    download_instructions,
    download_task,


rule download_model:
    output:
        directory("<results>/downloads/models/{model}"),
    log:
        "<results>/logs/download_model/{model}.log",
    benchmark:
        "<results>/benchmarks/download_model/{model}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=lambda wildcards: canonical_json({"source": model_source(wildcards)}),
        code=script_digest("download_model.py"),
    shell:
        "exec python scripts/download_model.py --settings {params.settings:q} --output {output:q} --log {log:q}"


rule download_instructions:
    output:
        "<results>/downloads/instructions/{part}.json",
    log:
        "<results>/logs/download_instructions/{part}.log",
    benchmark:
        "<results>/benchmarks/download_instructions/{part}.tsv"
    wildcard_constraints:
        part="references|comparisons",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=lambda wildcards: canonical_json(
            {"source": config["instructions"][wildcards.part]}
        ),
        code=script_digest("download_instructions.py"),
    shell:
        "exec python scripts/download_instructions.py --settings {params.settings:q} --output {output:q} --log {log:q}"


rule download_task:
    output:
        "<results>/downloads/tasks/{task}/{part}.{suffix}",
    log:
        "<results>/logs/download_task/{task}_{part}_{suffix}.log",
    benchmark:
        "<results>/benchmarks/download_task/{task}_{part}_{suffix}.tsv"
    wildcard_constraints:
        part="train|eval",
        suffix="parquet|jsonl|csv",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.task_download_settings(config, wildcards.task, wildcards.part)
        ),
        code=script_digest("download_task.py"),
    shell:
        "exec python scripts/download_task.py --settings {params.settings:q} --output {output:q} --log {log:q}"


rule prepare_instructions:
    input:
        references=instruction_file("references"),
        comparisons=instruction_file("comparisons"),
    output:
        rows="<results>/data/instructions.parquet",
        summary="<results>/data/instructions.json",
    log:
        "<results>/logs/prepare_instructions/all.log",
    benchmark:
        "<results>/benchmarks/prepare_instructions/all.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        settings=canonical_json(
            {"max_rejected_share": config["instructions"]["max_rejected_share"]}
        ),
        code=script_digest("prepare_instructions.py"),
    shell:
        "exec python scripts/prepare_instructions.py --settings {params.settings:q} --references {input.references:q}"
        " --comparisons {input.comparisons:q} --output {output.rows:q} --summary {output.summary:q} --log {log:q}"


rule split_instructions:
    input:
        "<results>/data/instructions.parquet",
    output:
        expand("<results>/data/splits/{split}.parquet", split=SPLITS + HELDOUT_EXAMPLES),
        manifest="<results>/data/splits/manifest.json",
    log:
        "<results>/logs/split_instructions/all.log",
    benchmark:
        "<results>/benchmarks/split_instructions/all.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        settings=canonical_json(settings.split_settings(config)),
        code=script_digest("split_instructions.py"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "exec python scripts/split_instructions.py --settings {params.settings:q} --instructions {input:q}"
        " --output {params.folder:q} --log {log:q}"


rule prepare_task:
    input:
        unpack(task_inputs),
        definition=lambda wildcards: config["tasks"][wildcards.task]["definition"],
    output:
        train="<results>/data/tasks/{task}/train.parquet",
        eval="<results>/data/tasks/{task}/eval.parquet",
        summary="<results>/data/tasks/{task}/summary.json",
    log:
        "<results>/logs/prepare_task/{task}.log",
    benchmark:
        "<results>/benchmarks/prepare_task/{task}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.task_settings(config, wildcards.task)
        ),
        code=script_digest("prepare_task.py"),
        folder=subpath(output.summary, parent=True),
    shell:
        "exec python scripts/prepare_task.py --settings {params.settings:q} --definition {input.definition:q}"
        " --train {input.train:q} --eval {input.eval:q} --output {params.folder:q} --log {log:q}"
