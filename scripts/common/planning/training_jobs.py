"""What training jobs need: memory, tokens, operations, time and the checkpoints they leave."""

import torch

from common.config.methods import METHODS
from common.planning.basis import FP32, Basis, weight_bytes
from common.planning.job_plan import JobPlan
from common.planning.job_time import checkpoint_bytes
from common.planning.memory import Memory, torch_memory, zero3_memory
from common.planning.step_memory import step_memory
from common.planning.training_work import TrainingWork, job_seconds, ppo_work, processes, step_seconds, supervised_work


def training_job(basis: Basis, method: str, model: str) -> JobPlan:
    """The training of any method."""
    return ppo_job(basis, model) if method == "ppo" else supervised_job(basis, method, model)


def supervised_job(basis: Basis, method: str, model: str) -> JobPlan:
    """Fine-tuning on responses or on pairs of them."""
    work = supervised_work(basis, method, model)
    training = basis.config["methods"][method]["training"]
    batch = training["per_device_batch_size"] * METHODS[method].together
    return _plan(basis, work, _memory(basis, work, batch=batch, cache=0.0))


def ppo_job(basis: Basis, model: str) -> JobPlan:
    """Actor, critic, reference and reward model; the rollouts' keys and values lie in memory as well."""
    block, work = basis.config["methods"]["ppo"], ppo_work(basis, model)
    actor, width = work.models[0].shape, weight_bytes(work.device)
    episodes = block["global_batch_size"] // processes(work.device)
    cache = float(episodes * work.longest * actor.cache_width * width)
    if work.device.gpu is None:
        cache += FP32 * actor.parameters  # packed weights
    return _plan(basis, work, _memory(basis, work, batch=block["per_device_batch_size"], cache=cache))


def _memory(basis: Basis, work: TrainingWork, batch: int, cache: float) -> Memory:
    """Memory of a training job; several trained models keep their activations at the same time."""
    compute, assumed = basis.config["compute"], basis.assumed
    gpu, deepspeed = work.device.gpu is not None, basis.deepspeed(work.device)
    steps = [
        step_memory(
            model.shape.config, model.shape.kind, batch=batch, length=work.longest,
            dtype=torch.bfloat16 if deepspeed else torch.float32, checkpointing=compute["gradient_checkpointing"],
            gpu=gpu, keep_gradients=not deepspeed and work.accumulation == 1,
        )
        for model in work.models if model.trained
    ]  # fmt: skip
    activations = float(sum(step.kept for step in steps) + max(step.peak - step.kept for step in steps))
    if deepspeed:
        return zero3_memory(
            work.models, work.device.count, activations=activations, cache=cache, offload=compute["offload"],
            assumed=assumed,
        )  # fmt: skip
    activations *= 1 + assumed["fragmentation" if gpu else "cpu_fragmentation"]
    overhead = assumed["reserved_gb" if gpu else "cpu_overhead_gb"] * 1e9
    return torch_memory(work.models, activations, accumulating=work.accumulation > 1, cache=cache, overhead=overhead)


def _plan(basis: Basis, work: TrainingWork, memory: Memory) -> JobPlan:
    """A job's time from what one optimizer step takes, and what it leaves."""
    step, device, models = step_seconds(basis, work), work.device, work.models
    return JobPlan(
        rule=work.rule, model=work.model, count=1, gpus=device.count if device.gpu else 0,
        parameters=sum(model.shape.parameters for model in models), memory=memory, tokens=work.tokens,
        flops=work.flops, seconds=job_seconds(basis, work),
        step_seconds=max(one for one in step.values() if one is not None),
        checkpoint=checkpoint_bytes(models, basis.deepspeed(device)),
        disk=float(models[0].shape.parameters * weight_bytes(device)), estimated=work.estimated,
    )  # fmt: skip
