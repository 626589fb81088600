"""What training jobs need: memory, tokens, operations, time and the checkpoints they leave."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from common.base.batch_sizes import accumulation_steps
from common.config.methods import METHODS
from common.planning.basis import BF16, Basis, weight_bytes
from common.planning.job_plan import JobPlan
from common.planning.job_time import (
    Device,
    checkpoint_bytes,
    decoding_seconds,
    exchanged_bytes,
    forward_flops,
    offload_seconds,
    training_flops,
    with_checkpoints,
)
from common.planning.memory import JobModel, Memory, torch_memory, zero3_memory
from common.planning.model_shapes import ModelShape
from common.planning.sequence_sizes import sequences
from common.planning.step_memory import step_memory


@dataclass(frozen=True)
class Training:
    """The work of a training job.

    Attributes:
        rule: of the workflow.
        model: name in the configuration.
        device: what it runs on.
        models: all it holds, the one it saves first.
        memory: on each GPU, or on the CPU.
        tokens: over all steps.
        flops: over all steps.
        steps: optimizer steps.
        computing: seconds of a step's arithmetic.
        micro_steps: forward and backward passes of a process a step.
        generation: seconds a step generates.
        estimated: whether sequence lengths are assumed.
    """

    rule: str
    model: str
    device: Device
    models: Sequence[JobModel]
    memory: Memory
    tokens: float
    flops: float
    steps: int
    computing: float
    micro_steps: int
    generation: float
    estimated: bool


def supervised_job(basis: Basis, method: str, model: str) -> JobPlan:
    """Fine-tuning on responses or on pairs of them."""
    training = basis.config["methods"][method]["training"]
    return _trainer_job(basis, method, model, training, shape=basis.shape(model))


def reward_job(basis: Basis) -> JobPlan:
    """The reward model."""
    model = basis.config["rl"]["reward"]
    training = basis.config["methods"]["reward"]["training"]
    return _trainer_job(basis, "reward", model, training, shape=basis.shape(model, "reward"))


def _trainer_job(basis: Basis, method: str, name: str, training: Mapping[str, Any], shape: ModelShape) -> JobPlan:
    """A job of TRL's trainers."""
    rule, together = f"train_{method}", METHODS[method].together
    models = [JobModel(shape)] + [JobModel(shape, False)] * METHODS[method].has_reference
    device = basis.device(rule)
    data = sequences(basis.config, method, limit=training["max_length"], results=basis.results, assumed=basis.assumed)
    accumulation = _accumulation(training, device)
    steps = training["epochs"] * math.ceil(data.count / training["global_batch_size"])
    tokens = training["epochs"] * data.count * together * data.mean
    looking = forward_flops(shape, data.mean) * METHODS[method].has_reference
    flops = tokens * (training_flops(shape, data.mean, basis.config["compute"]["gradient_checkpointing"]) + looking)
    memory = _memory(
        basis, device, models, batch=together * training["per_device_batch_size"],
        length=basis.longest.get(method, data.longest), accumulation=accumulation, cache=0.0,
    )  # fmt: skip
    work = Training(
        rule=rule, model=name, device=device, models=models, memory=memory, tokens=tokens, flops=flops, steps=steps,
        computing=flops * basis.assumed["padding"] / device.flops / steps, micro_steps=accumulation, generation=0.0,
        estimated=not data.measured,
    )  # fmt: skip
    return _plan(basis, work)


def ppo_job(basis: Basis) -> JobPlan:
    """Actor, critic, reference and reward model under ZeRO-3, the actor whole on every GPU while it generates."""
    block, rl = basis.config["methods"]["ppo"], basis.config["rl"]
    actor = basis.shape(rl["actor"])
    scorer = basis.shape(rl["reward"], "reward")
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
    width, accumulation = weight_bytes(device), _accumulation(block, device)
    episodes = block["global_batch_size"] // _processes(device)
    length = basis.longest.get("ppo", prompts.longest + block["max_new_tokens"])
    memory = _memory(
        basis, device, models, batch=block["per_device_batch_size"], length=length, accumulation=accumulation,
        cache=float(episodes * length * actor.cache_width * width),
    )  # fmt: skip
    one = Device(device.gpu, 1 if device.gpu else device.count, basis.assumed)
    generation = decoding_seconds(actor, one, tokens=block["max_new_tokens"], batches=1, bytes_per_weight=width)
    work = Training(
        rule="train_ppo", model=rl["actor"], device=device, models=models, memory=memory, tokens=tokens, flops=flops,
        steps=steps, computing=flops * basis.assumed["padding"] / device.flops / steps,
        micro_steps=accumulation * updates, generation=generation, estimated=not prompts.measured,
    )  # fmt: skip
    return _plan(basis, work)


def _processes(device: Device) -> int:
    return device.count if device.gpu else 1


def _accumulation(training: Mapping[str, Any], device: Device) -> int:
    return accumulation_steps(training["global_batch_size"], training["per_device_batch_size"], _processes(device))


def _memory(
    basis: Basis, device: Device, models: Sequence[JobModel], batch: int, length: int, accumulation: int, cache: float
) -> Memory:
    """Memory of a training job; several trained models keep their activations at the same time."""
    compute, assumed = basis.config["compute"], basis.assumed
    gpu, deepspeed = device.gpu is not None, basis.deepspeed(device)
    steps = [
        step_memory(
            model.shape.config, model.shape.kind, batch=batch, length=length,
            dtype=torch.bfloat16 if deepspeed else torch.float32, checkpointing=compute["gradient_checkpointing"],
            gpu=gpu, keep_gradients=not deepspeed and accumulation == 1,
        )
        for model in models if model.trained
    ]  # fmt: skip
    activations = float(sum(step.kept for step in steps) + max(step.peak - step.kept for step in steps))
    if deepspeed:
        return zero3_memory(
            models, device.count, activations=activations, cache=cache, offload=compute["offload"], assumed=assumed
        )
    activations *= 1 + assumed["fragmentation" if gpu else "cpu_fragmentation"]
    overhead = assumed[_libraries(gpu, len(steps))] * 1e9
    return torch_memory(models, activations, accumulating=accumulation > 1, cache=cache, overhead=overhead)


def _libraries(gpu: bool, trained: int) -> str:
    """The assumption that says what the training libraries take beside."""
    if gpu:
        return "reserved_gb"
    return "cpu_overhead_gb" if trained == 1 else "cpu_overhead_ppo_gb"


def _plan(basis: Basis, work: Training) -> JobPlan:
    """A job's time from what one optimizer step takes, and what it leaves."""
    assumed, compute, device, models = basis.assumed, basis.config["compute"], work.device, work.models
    deepspeed = basis.deepspeed(device)
    step = _step_seconds(basis, work)
    size, every = checkpoint_bytes(models, deepspeed), compute["checkpoint_seconds"]
    seconds = {
        link: None if one is None else with_checkpoints(work.steps * one, size, every, assumed)
        for link, one in step.items()
    }
    return JobPlan(
        rule=work.rule, model=work.model, count=1, gpus=device.count if device.gpu else 0,
        parameters=sum(model.shape.parameters for model in models), memory=work.memory, tokens=work.tokens,
        flops=work.flops, seconds=seconds, step_seconds=max(one for one in step.values() if one is not None),
        checkpoint=size, disk=float(models[0].shape.parameters * weight_bytes(device)), estimated=work.estimated,
    )  # fmt: skip


def _step_seconds(basis: Basis, work: Training) -> dict[str, float | None]:
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
