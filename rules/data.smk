"""Downloads, instructions and their splits, evaluation tasks."""


use rule plain_job as download_model with:
    output:
        output=directory("<results>/downloads/models/{model}"),
    pathvars:
        job="download_model/{model}",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        **calls("download_model", lambda config, model: {"source": model_source(model)}),


use rule download_model as download_instructions with:
    output:
        output="<results>/downloads/instructions/{part}.json",
    pathvars:
        job="download_instructions/{part}",
    wildcard_constraints:
        part="references|comparisons",
    localrule: True
    params:
        **calls("download_instructions", lambda config, part: {"source": fetched(config["instructions"][part])}),


use rule download_model as download_task with:
    output:
        output="<results>/downloads/tasks/{task}/{part}.{suffix}",
    pathvars:
        job="download_task/{task}_{part}_{suffix}",
    wildcard_constraints:
        part="train|eval",
        suffix="parquet|jsonl?|csv",
    localrule: True
    params:
        **calls("download_task", lambda config, task, part, suffix: settings.task_download_settings(config, task, part)),


use rule plain_job as prepare_instructions with:
    input:
        references=instruction_file(config, "references"),
        comparisons=instruction_file(config, "comparisons"),
    output:
        output="<results>/data/instructions.parquet",
        summary="<results>/data/instructions.json",
    pathvars:
        job="prepare_instructions/all",
    conda:
        "../envs/data.yaml"
    resources:
        **ASKED.plain(mem_mb=4000),
    params:
        **calls("prepare_instructions", settings.instruction_settings),


use rule prepare_instructions as split_instructions with:
    input:
        instructions="<results>/data/instructions.parquet",
    output:
        SPLITS,
        SPLIT_MANIFEST,
    pathvars:
        job="split_instructions/all",
    params:
        **calls("split_instructions", settings.split_settings, output="<results>/data/splits"),


use rule prepare_instructions as prepare_task with:
    input:
        unpack(task_inputs),
        definition=lambda wildcards: config["tasks"][wildcards.task]["definition"],
    output:
        "<results>/data/tasks/{task}/train.parquet",
        "<results>/data/tasks/{task}/eval.parquet",
        "<results>/data/tasks/{task}/summary.json",
    pathvars:
        job="prepare_task/{task}",
    params:
        **calls("prepare_task", settings.task_settings, output="<results>/data/tasks/{task}"),
