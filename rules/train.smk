"""Base models in one layout, one rule per fine-tuning method, and the responses of the RL arm.

What a method starts from, learns from and is measured on is in scripts/common/config/methods.py; the rest is that of `train_sft`.
"""


use rule plain_job as prepare_model with:
    input:
        unpack(model_inputs),
    output:
        output=directory("<results>/models/{model}/pretrained"),
    pathvars:
        job="prepare_model/{model}",
    conda:
        "../envs/train.yaml"
    resources:
        **ASKED.preparing,
    params:
        **calls("prepare_model", settings.prepare_model_settings),


use rule launched_job as train_sft with:
    input:
        MACHINE,
        model="<results>/models/{model}/<start>",
        train="<results>/data/splits/<split>.parquet",
        heldout="<results>/data/splits/<heldout>.parquet",
    output:
        output=directory("<results>/models/{model}/<method>"),
        metrics="<results>/training/{model}/<method>/metrics.csv",
    pathvars:
        **learns("sft"),
    priority: 2
    conda:
        "../envs/train.yaml"
    threads: ASKED.training_threads
    resources:
        **ASKED.training,
    params:
        **trains("sft"),


use rule train_sft as train_sft_best with:
    pathvars:
        **learns("sft_best"),
    params:
        **trains("sft_best"),


use rule train_sft as train_dpo with:
    input:
        MACHINE,
        model="<results>/models/{model}/<start>",
        train="<results>/data/splits/<split>.parquet",
    pathvars:
        **learns("dpo"),
    params:
        **trains("dpo"),


use rule train_sft as train_coh with:
    pathvars:
        **learns("coh"),
    priority: 3  # the longest chain of jobs begins here
    params:
        **trains("coh"),


use rule train_sft as train_rl_sft with:
    pathvars:
        **learns("rl_sft"),
    params:
        **trains("rl_sft"),


use rule train_sft as train_reward with:
    pathvars:
        **learns("reward"),
    params:
        **trains("reward"),


use rule train_sft as train_ppo with:
    input:
        actor="<results>/models/{model}/<start>",
        reward=reward_model,
        train="<results>/data/splits/<split>.parquet",
    pathvars:
        **learns("ppo"),
    params:
        **trains("ppo", settings.ppo_settings),


# Responses to the paper's prompts and to the held-out ones, scored by the reward model of the base model.
use rule launched_job as sample_responses with:
    input:
        PAPER_SCHEMA,
        model="<results>/models/{model}/{method}",
        base=lambda wildcards: settings.divergence_base(config, **wildcards),
        reward=reward_model,
        heldout="<results>/data/splits/heldout.parquet",
        published=own("resources/paper/table4.yaml"),
    output:
        output="<results>/samples/{model}/{method}.parquet",
        record="<results>/samples/{model}/{method}.json",
    pathvars:
        job="sample_responses/{model}_{method}",
    wildcard_constraints:
        method=either(method for _, method in SAMPLED),
    priority: 1
    params:
        **calls("sample_responses", settings.sample_settings),
        scratch=scratch("sample_responses/{model}_{method}"),


use rule plain_job as plot_training with:
    input:
        metrics="<results>/training/{model}/{method}/metrics.csv",
    output:
        output="<results>/training/{model}/{method}/curve.svg",
    pathvars:
        job="plot_training/{model}_{method}",
    params:
        **calls("plot_training", settings.curve_settings),
