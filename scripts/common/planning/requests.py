"""What a job asks a scheduler for: memory of its node and minutes, from the plan, with a margin. Loads no torch.

The margins and what a process takes beside its model are in resources/hardware/assumptions.yaml. Asked while the DAG is
planned, so a model's size is estimated from its configuration.
"""

import math
from dataclasses import dataclass

from common.base.errors import UserError
from common.base.zero3 import SUB_GROUP
from common.config.methods import METHODS
from common.planning.answering_jobs import evaluation_jobs, sampling_jobs
from common.planning.basis import FP32, Basis
from common.planning.memory import OPTIMIZER, WEIGHT
from common.planning.run_time import ANSWERING, kind_of, planned_seconds, slowest
from common.planning.schedule import TRAINS
from common.planning.shapes import ModelShape
from common.planning.training_work import TrainingWork, processes, training_work

# Memory is asked for in steps of so many MB, time in steps of so many minutes.
MEMORY_STEP, TIME_STEP = 500, 15
GB, MB = 1e9, 1e6
# What step_memory finds on decoders of five architectures: numbers a layer keeps of a token for its backward pass, a
# multiple of its two widths (LLaMA's; OPT keeps half of it), and those of TRL's head, a token, up to so many tokens.
KEPT_HIDDEN, KEPT_INNER = 13, 4
HEAD_WIDTH, HEAD_TOKENS = 290_000, 4096


@dataclass(frozen=True)
class Request:
    """What a job asks for.

    Attributes:
        memory_mb: of each of its nodes.
        minutes: until it is stopped.
    """

    memory_mb: int
    minutes: int


def request(basis: Basis, rule: str, model: str = "") -> Request:
    """What a job of a rule that trains, answers or prepares a model asks for.

    Args:
        basis: of the plan, with `estimate_shape`.
        rule: of the workflow.
        model: name in the configuration.
    """
    try:
        memory, seconds = requested_bytes(basis, rule, model), planned_seconds(basis, rule, model, slowest)
    except UserError:  # the size of the model is not known before it is downloaded
        memory, seconds = basis.assumed["unknown_model_gb"] * GB, math.inf
    nodes = basis.config["compute"]["nodes"] if kind_of(rule) == TRAINS else 1
    memory *= basis.assumed["memory_margin"] / nodes / MB
    minutes = basis.assumed["time_margin"] * seconds / 60 + TIME_STEP
    longest = basis.config["site"]["longest_minutes"]
    return Request(_up(memory, MEMORY_STEP), longest if minutes > longest else min(longest, _up(minutes, TIME_STEP)))


def _up(amount: float, step: int) -> int:
    return step * math.ceil(amount / step)


def requested_bytes(basis: Basis, rule: str, model: str) -> float:
    """Bytes that a job takes of the memory of its nodes, all together, before the margin.

    Raises:
        UserError: when nothing says how large the model is.
    """
    method, process = rule.removeprefix("train_"), basis.assumed["process_gb"] * GB
    if kind_of(rule) == TRAINS and method in METHODS:
        return _training_memory(basis, training_work(basis, method, model))
    if rule in ANSWERING:
        job = sampling_jobs(basis, model) if rule == "sample_responses" else evaluation_jobs(basis, model)
        if not job.gpus:
            return process + job.memory.total
        # Weights are read in host memory first; some answers are computed again in fp32, there if need be.
        return basis.assumed["gpu_process_gb"] * GB + max(FP32 * job.parameters, job.memory.host)
    return process + basis.assumed["prepared_bytes_per_weight"] * basis.shape(model).parameters


def _training_memory(basis: Basis, work: TrainingWork) -> float:
    """Bytes of a training: on GPUs what its processes, reading, saving and offloading take, else all of it."""
    sizes = [model.shape.parameters for model in work.models]
    learnt = sum(model.shape.parameters for model in work.models if model.trained)
    if work.device.gpu is None:
        count = basis.config["compute"]["processes"]
        states = FP32 * sum(sizes) + 3 * FP32 * learnt
        packed = FP32 * sizes[0] if work.rule == "train_ppo" else 0  # the actor's weights while it generates
        return count * basis.assumed["process_gb"] * GB + states + max(packed, count * _activations(basis, work))
    count = processes(work.device)
    offload = basis.config["compute"]["offload"]
    kept = 0 if offload == "none" else (OPTIMIZER + WEIGHT + FP32) * learnt
    kept += WEIGHT * sum(sizes) if offload == "parameters" else 0
    # One process reads the largest model whole, before there are states; each writes its own a sub-group at a time.
    passing = max(FP32 * max(sizes), count * FP32 * min(SUB_GROUP, learnt / count))
    return count * basis.assumed["gpu_process_gb"] * GB + max(kept, passing)


def _activations(basis: Basis, work: TrainingWork) -> float:
    """Bytes of one process's forward and backward pass in fp32, all trained models together."""
    method, blocks = work.rule.removeprefix("train_"), basis.config["methods"]
    block = blocks[method].get("training", blocks[method])
    tokens = block["per_device_batch_size"] * METHODS[method].together * work.longest
    checkpointing = basis.config["compute"]["gradient_checkpointing"]
    trained = [model.shape for model in work.models if model.trained]
    head = 4.0 * HEAD_WIDTH * min(tokens, HEAD_TOKENS) if any(shape.kind == "language" for shape in trained) else 0.0
    return head + sum(4.0 * tokens * shape.layers * _kept_width(shape, checkpointing) for shape in trained)


def _kept_width(shape: ModelShape, checkpointing: bool) -> float:
    """Numbers that a layer keeps of a token for its backward pass."""
    return 2.0 * shape.hidden if checkpointing else KEPT_HIDDEN * shape.hidden + KEPT_INNER * shape.inner
