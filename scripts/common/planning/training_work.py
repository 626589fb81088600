"""The work of a training job and the time it takes: tokens, operations, steps, generation. Loads no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.base.batch_sizes import accumulation_steps, deal_equally, deal_out
from common.base.checkpoint_times import AUTO, FIRST_SECONDS, checkpoints_within, seconds_between
from common.config.methods import METHODS
from common.planning.basis import BF16, Basis, weight_bytes
from common.planning.job_time import (
    Device,
    checkpoint_bytes,
    checkpoint_seconds,
    decoding_seconds,
    exchanged_bytes,
    forward_flops,
    offload_seconds,
    training_flops,
)
from common.planning.memory import JobModel
from common.planning.padding import padding_factor
from common.planning.sequence_sizes import heldout_sequences, sequences


@dataclass(frozen=True)
class TrainingWork:
    """The work of a training job.

    Attributes:
        rule: of the workflow.
        model: name in the configuration.
        device: what it runs on.
        models: all it holds, the one it saves first.
        tokens: over all steps.
        flops: over all steps.
        heldout_flops: of measuring what is held out, before and after.
        steps: optimizer steps.
        computing: seconds of a step's arithmetic.
        accumulation: micro-batches of a process per update.
        micro_steps: forward and backward passes of a process per step.
        generation: seconds a step generates.
        longest: tokens of the longest sequence.
        estimated: whether sequence lengths are assumed.
    """

    rule: str
    model: str
    device: Device
    models: Sequence[JobModel]
    tokens: float
    flops: float
    heldout_flops: float
    steps: int
    computing: float
    accumulation: int
    micro_steps: int
    generation: float
    longest: int
    estimated: bool


def training_work(basis: Basis, method: str, model: str) -> TrainingWork:
    """The work of any method's training."""
    return ppo_work(basis, model) if method == "ppo" else supervised_work(basis, method, model)


def supervised_work(basis: Basis, method: str, model: str) -> TrainingWork:
    """A job of TRL's trainers: fine-tuning on responses or pairs of them, the reward model."""
    rule, together = f"train_{method}", METHODS[method].together
    training = basis.config["methods"][method]["training"]
    shape = basis.shape(model, "reward" if method == "reward" else "language")
    models = [JobModel(shape)] + [JobModel(shape, False)] * METHODS[method].has_reference
    device = basis.device(rule)
    data = sequences(basis.config, method, limit=training["max_length"], results=basis.results, assumed=basis.assumed)
    accumulation = accumulation_of(training, device)
    deal = deal_equally if METHODS[method].equal_batches else deal_out
    padding = padding_factor(
        data.mean, training["max_length"], data.spread, training["global_batch_size"], accumulation, processes(device),
        deal,
    )  # fmt: skip
    steps = training["epochs"] * math.ceil(data.count / training["global_batch_size"])
    tokens = training["epochs"] * data.count * together * data.mean
    looking = forward_flops(shape, data.mean) * METHODS[method].has_reference
    flops = tokens * (training_flops(shape, data.mean, basis.config["compute"]["gradient_checkpointing"]) + looking)
    return TrainingWork(
        rule=rule, model=model, device=device, models=models, tokens=tokens, flops=flops,
        heldout_flops=2 * heldout_sequences(basis.config, method) * data.mean * forward_flops(shape, data.mean),
        steps=steps,
        computing=flops * padding / device.flops / steps, accumulation=accumulation,
        micro_steps=accumulation, generation=0.0, longest=basis.longest.get(method, data.longest),
        estimated=not data.measured,
    )  # fmt: skip


def ppo_work(basis: Basis, model: str) -> TrainingWork:
    """Actor, critic, reference and reward model under ZeRO-3, the actor whole on every GPU while it generates."""
    block, actor = basis.config["methods"]["ppo"], basis.shape(model)
    scorer = basis.shape(basis.config["rl"]["reward"], "reward")
    models = [JobModel(actor, whole=True), JobModel(scorer), JobModel(actor, False), JobModel(scorer, False)]
    device = basis.device("train_ppo")
    prompts, answers = (
        sequences(basis.config, method, limit=block[limit], results=basis.results, assumed=basis.assumed)
        for method, limit in (("ppo", "max_prompt_length"), ("rl_sft", "max_new_tokens"))
    )
    steps = block["epochs"] * math.ceil(prompts.count / block["global_batch_size"])
    mean = prompts.mean + answers.mean
    tokens = block["epochs"] * prompts.count * mean
    checkpointing, updates = basis.config["compute"]["gradient_checkpointing"], block["updates_per_rollout"]
    learning = sum(training_flops(model.shape, mean, checkpointing) for model in models if model.trained)
    looking = forward_flops(actor, mean) * 2 + forward_flops(scorer, mean)
    flops = tokens * (updates * learning + looking)
    one = Device(device.gpu, 1 if device.gpu else device.count, basis.assumed)
    generation = decoding_seconds(
        actor, one, tokens=block["max_new_tokens"], batches=1, bytes_per_weight=weight_bytes(device)
    )
    accumulation = accumulation_of(block, device)
    padding = padding_factor(
        mean, block["max_prompt_length"] + block["max_new_tokens"], answers.spread, block["global_batch_size"],
        accumulation, processes(device), deal_out,
    )  # fmt: skip
    return TrainingWork(
        rule="train_ppo", model=model, device=device, models=models, tokens=tokens, flops=flops,
        heldout_flops=0.0, steps=steps,
        computing=flops * padding / device.flops / steps, accumulation=accumulation,
        micro_steps=accumulation * updates, generation=generation,
        longest=basis.longest.get("ppo", prompts.longest + block["max_new_tokens"]), estimated=not prompts.measured,
    )  # fmt: skip


def processes(device: Device) -> int:
    return device.count if device.gpu else 1


def accumulation_of(training: Mapping[str, Any], device: Device) -> int:
    return accumulation_steps(training["global_batch_size"], training["per_device_batch_size"], processes(device))


def step_seconds(basis: Basis, work: TrainingWork) -> dict[str, float | None]:
    """Seconds of an optimizer step by interconnect; arithmetic and exchange go on at the same time."""
    shortest = exchanged = waiting = 0.0
    if basis.deepspeed(work.device):
        shortest = work.micro_steps * basis.assumed["training_step_seconds"]
        whole = sum(BF16 * model.shape.parameters for model in work.models if model.whole)
        exchanged = work.micro_steps * exchanged_bytes(work.models, work.device.count) + whole
        waiting = offload_seconds(work.models, work.device, work.micro_steps, basis.config["compute"]["offload"])
    return {
        link: None if rate is None else max(work.computing, shortest, exchanged / rate) + work.generation + waiting
        for link, rate in work.device.links().items()
    }


def job_seconds(basis: Basis, work: TrainingWork) -> dict[str, float | None]:
    """Seconds of the job by interconnect, with what is held out and the checkpoints it writes on its way."""
    measuring = work.heldout_flops / work.device.flops
    size = checkpoint_bytes(work.models, basis.deepspeed(work.device))
    writing = checkpoint_seconds(size, processes(work.device), basis.assumed)
    first = every = basis.config["compute"]["checkpoint_seconds"]
    if every == AUTO:
        first, every = FIRST_SECONDS, seconds_between(writing)

    def whole(steps: float) -> float:
        return measuring + steps + writing * checkpoints_within(steps, every, first)

    return {link: None if one is None else whole(work.steps * one) for link, one in step_seconds(basis, work).items()}
