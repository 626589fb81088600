"""Base models in one layout, and one rule a fine-tuning method."""


rule prepare_model:
    input:
        unpack(model_inputs),
    output:
        directory("<results>/models/{model}/pretrained"),
    log:
        "<results>/logs/prepare_model/{model}.log",
    benchmark:
        "<results>/benchmarks/prepare_model/{model}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=8000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.prepare_model_settings(config, wildcards.model)
        ),
        code=script_digest("prepare_model.py"),
        sources=as_options,
    shell:
        "exec python scripts/prepare_model.py --settings {params.settings:q} {params.sources}"
        " --output {output:q} --log {log:q}"


rule train_sft:
    input:
        model="<results>/models/{model}/pretrained",
        train="<results>/data/splits/sft.parquet",
        heldout="<results>/data/splits/heldout_sft.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/sft"),
        metrics="<results>/training/{model}/sft/metrics.csv",
    log:
        "<results>/logs/train_sft/{model}.log",
    benchmark:
        "<results>/benchmarks/train_sft/{model}.tsv"
    conda:
        "../envs/train.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        mem_mb=8000,
        processes=config["compute"]["processes"],
        checkpoint_seconds=config["compute"]["checkpoint_seconds"],
        stop_lead=config["compute"]["stop_lead_seconds"],
        offload=config["compute"]["offload"],
    params:
        **training_params("sft"),
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --device {resources.device} --threads {threads}"
        " --processes {resources.processes} --stop-lead {resources.stop_lead}"
        " scripts/{params.script} --settings {params.settings:q}"
        " --model {input.model:q} --train {input.train:q} --heldout {input.heldout:q}"
        " --scratch {params.scratch:q} --offload {resources.offload}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --metrics {output.metrics:q} --output {output.model:q} --log {log:q}"


use rule train_sft as train_sft_best with:
    input:
        model="<results>/models/{model}/pretrained",
        train="<results>/data/splits/coh.parquet",
        heldout="<results>/data/splits/heldout_coh.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/sft_best"),
        metrics="<results>/training/{model}/sft_best/metrics.csv",
    log:
        "<results>/logs/train_sft_best/{model}.log",
    benchmark:
        "<results>/benchmarks/train_sft_best/{model}.tsv"
    params:
        **training_params("sft_best"),


use rule train_sft as train_dpo with:
    input:
        model="<results>/models/{model}/sft",
        train="<results>/data/splits/coh.parquet",
        heldout="<results>/data/splits/heldout.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/dpo"),
        metrics="<results>/training/{model}/dpo/metrics.csv",
    log:
        "<results>/logs/train_dpo/{model}.log",
    benchmark:
        "<results>/benchmarks/train_dpo/{model}.tsv"
    params:
        **training_params("dpo"),


use rule train_sft as train_coh with:
    input:
        model="<results>/models/{model}/pretrained",
        train="<results>/data/splits/coh.parquet",
        heldout="<results>/data/splits/heldout_coh.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/coh"),
        metrics="<results>/training/{model}/coh/metrics.csv",
    log:
        "<results>/logs/train_coh/{model}.log",
    benchmark:
        "<results>/benchmarks/train_coh/{model}.tsv"
    params:
        **training_params("coh"),


use rule train_sft as train_rl_sft with:
    input:
        model="<results>/models/{model}/pretrained",
        train="<results>/data/splits/rl_sft.parquet",
        heldout="<results>/data/splits/heldout_sft.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/rl_sft"),
        metrics="<results>/training/{model}/rl_sft/metrics.csv",
    log:
        "<results>/logs/train_rl_sft/{model}.log",
    benchmark:
        "<results>/benchmarks/train_rl_sft/{model}.tsv"
    params:
        **training_params("rl_sft"),


use rule train_sft as train_reward with:
    input:
        model="<results>/models/{model}/pretrained",
        train="<results>/data/splits/rl_reward.parquet",
        heldout="<results>/data/splits/heldout_rl_reward.parquet",
        machine=machine_report(),
    output:
        model=directory("<results>/models/{model}/reward"),
        metrics="<results>/training/{model}/reward/metrics.csv",
    log:
        "<results>/logs/train_reward/{model}.log",
    benchmark:
        "<results>/benchmarks/train_reward/{model}.tsv"
    params:
        **training_params("reward"),


rule train_ppo:
    input:
        actor="<results>/models/{model}/rl_sft",
        reward=f"<results>/models/{REWARD()}/reward",
        train="<results>/data/splits/rl_prompts.parquet",
    output:
        model=directory("<results>/models/{model}/ppo"),
        metrics="<results>/training/{model}/ppo/metrics.csv",
    log:
        "<results>/logs/train_ppo/{model}.log",
    benchmark:
        "<results>/benchmarks/train_ppo/{model}.tsv"
    conda:
        "../envs/train.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        mem_mb=12000,
        processes=config["compute"]["processes"],
        checkpoint_seconds=config["compute"]["checkpoint_seconds"],
        stop_lead=config["compute"]["stop_lead_seconds"],
        offload=config["compute"]["offload"],
    params:
        **training_params("ppo", lambda model: settings.ppo_settings(config, model)),
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --device {resources.device} --threads {threads}"
        " --processes {resources.processes} --stop-lead {resources.stop_lead}"
        " scripts/{params.script} --settings {params.settings:q}"
        " --actor {input.actor:q} --reward {input.reward:q} --train {input.train:q}"
        " --scratch {params.scratch:q} --offload {resources.offload}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --metrics {output.metrics:q} --output {output.model:q} --log {log:q}"


rule sample_responses:
    """Responses to the paper's prompts and to the held-out ones, scored by the reward model."""
    input:
        model="<results>/models/{model}/{method}",
        reward=f"<results>/models/{REWARD()}/reward",
        heldout="<results>/data/splits/heldout.parquet",
        published="resources/paper/table4.yaml",
        schema="resources/paper/schema.yaml",
    output:
        rows="<results>/samples/{model}/{method}.parquet",
        record="<results>/samples/{model}/{method}.json",
    log:
        "<results>/logs/sample_responses/{model}_{method}.log",
    benchmark:
        "<results>/benchmarks/sample_responses/{model}_{method}.tsv"
    wildcard_constraints:
        method=either(RL_STAGES),
    conda:
        "../envs/evaluate.yaml"
    threads: config["compute"]["evaluation_threads"]
    resources:
        gpu=config["compute"]["evaluation_gpus"],
        device=config["compute"]["device"],
        mem_mb=8000,
    params:
        settings=lambda wildcards: canonical_json(
            settings.sample_settings(config, **wildcards)
        ),
        code=script_digest("sample_responses.py"),
        scratch=f"{RESULTS}/scratch/sample_responses/{{model}}_{{method}}",
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --device {resources.device} --threads {threads}"
        " scripts/sample_responses.py --settings {params.settings:q} --model {input.model:q} --reward {input.reward:q}"
        " --heldout {input.heldout:q} --published {input.published:q} --scratch {params.scratch:q}"
        " --output {output.rows:q} --record {output.record:q} --log {log:q}"


rule plot_training:
    input:
        "<results>/training/{model}/{method}/metrics.csv",
    output:
        "<results>/training/{model}/{method}/curve.svg",
    log:
        "<results>/logs/plot_training/{model}_{method}.log",
    benchmark:
        "<results>/benchmarks/plot_training/{model}_{method}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=lambda wildcards: canonical_json(
            {
                "title": f"{config['models'][wildcards.model]['label']}, {wildcards.method}"
            }
        ),
        code=script_digest("plot_training.py"),
    shell:
        "exec python scripts/plot_training.py --settings {params.settings:q} --metrics {input:q} --output {output:q}"
        " --log {log:q}"
