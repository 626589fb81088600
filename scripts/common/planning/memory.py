"""Memory a training job needs on each GPU, or on a CPU, by what takes it.

DeepSpeed ZeRO stage 3 in bf16 with AdamW holds 16 bytes a parameter over all GPUs: weights 2, gradients 2, and in fp32
weights and two moments 12 (Rajbhandari et al. 2020, section 3.1). Plain torch in fp32 holds 16 as well: 4, 4 and 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.base.zero3 import LIVE_PARAMETERS, PREFETCHED, REDUCE_BUCKET, SUB_GROUP
from common.planning.shapes import ModelShape

WEIGHT, OPTIMIZER = 2, 12


@dataclass(frozen=True)
class JobModel:
    """A model of a job.

    Attributes:
        shape: its size.
        trained: whether it has gradients and optimizer states.
        whole: whether its weights are gathered on every GPU at once, to generate from them.
    """

    shape: ModelShape
    trained: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Memory:
    """Bytes on each device, and in the memory of its host.

    Attributes:
        parts: what is there at the moment of the peak, by name; their sum is `total`.
        host: over all processes, what offloading keeps in CPU memory.
        moment: when the peak is.
    """

    parts: Mapping[str, float]
    host: float = 0.0
    moment: str = ""

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Phase:
    """A moment that may be the peak: its name and the bytes beside what is always there."""

    name: str
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def zero3_memory(
    models: Sequence[JobModel],
    gpus: int,
    activations: float,
    cache: float,
    offload: str,
    assumed: Mapping[str, float],
) -> Memory:
    """Bytes on each GPU under ZeRO stage 3.

    Args:
        models: all models of the job.
        gpus: processes the states are parted over.
        activations: bytes of a step beside the states, logits included.
        cache: bytes of keys and values while generating.
        offload: none, optimizer or parameters (which includes the optimizer).
        assumed: values of assumptions.yaml.
    """
    held = sum(model.shape.parameters for model in models) / gpus
    trained = [model.shape.parameters for model in models if model.trained]
    learnt = sum(trained) / gpus
    moved = {"none": 0.0, "optimizer": learnt * (OPTIMIZER + WEIGHT), "parameters": learnt * (OPTIMIZER + WEIGHT)}
    moved["parameters"] += held * WEIGHT
    always = {
        "states": held * WEIGHT + learnt * (WEIGHT + OPTIMIZER) - moved[offload],
        "exchange buffers": sum(WEIGHT * (REDUCE_BUCKET + min(REDUCE_BUCKET, count)) for count in trained),
    }
    gathered = sum(WEIGHT * min(LIVE_PARAMETERS + PREFETCHED, model.shape.parameters) for model in models)
    whole = sum(WEIGHT * model.shape.parameters for model in models if model.whole)
    # A sub-group's gradients are put in one piece and then turned to fp32.
    update = 0.0 if offload != "none" else max((6 * min(SUB_GROUP, count / gpus) for count in trained), default=0.0)
    phases = [
        Phase("forward and backward pass", {"gathered layers": gathered, "activations": activations}),
        Phase("optimizer step", {"gradients in fp32": update}),
        Phase("generation", {"whole weights": whole, "keys and values": cache}),
    ]
    largest = max(phases, key=lambda phase: phase.total)
    parts = {**always, **largest.parts}
    parts["fragmentation"] = assumed["fragmentation"] * sum(parts.values())
    parts["CUDA and NCCL"] = assumed["reserved_gb"] * 1e9
    # Summing gradients of a sub-group in host memory takes 4 bytes more.
    host = 0.0 if offload == "none" else gpus * (moved[offload] + 4 * learnt)
    return Memory(parts, host, largest.name)


def torch_memory(
    models: Sequence[JobModel], activations: float, accumulating: bool, cache: float, overhead: float
) -> Memory:
    """Bytes of one process of plain torch in fp32.

    Args:
        models: all models of the job.
        activations: peak of a forward and backward pass beside the weights, gradients that stay included.
        accumulating: whether gradients of an earlier micro-batch are there already.
        cache: bytes of keys, values and packed weights while generating.
        overhead: bytes the training libraries take beside.
    """
    held = sum(model.shape.parameters for model in models)
    learnt = sum(model.shape.parameters for model in models if model.trained)
    states = {"weights": 4.0 * held, "optimizer": 8.0 * learnt}
    gradients = {"gradients": 4.0 * learnt}
    phases = [
        Phase("forward and backward pass", {**(gradients if accumulating else {}), "activations": activations}),
        Phase("optimizer step", gradients),
        Phase("generation", {"keys, values, packed weights": cache}),
    ]
    largest = max(phases, key=lambda phase: phase.total)
    return Memory({**states, **largest.parts, "libraries": overhead}, 0.0, largest.name)


def inference_memory(
    shape: ModelShape, bytes_per_weight: int, cache: float, fragmentation: float, reserved: float
) -> Memory:
    """Bytes of a job that answers prompts: weights, keys and values, losses between blocks, what the device keeps.

    Rows that are done leave the cache a layer at a time, so it is never held twice.
    """
    parts = {"weights": float(bytes_per_weight * shape.parameters), "keys and values": cache}
    parts["fragmentation"] = fragmentation * sum(parts.values())
    return Memory({**parts, "device": reserved}, 0.0, "generation")
