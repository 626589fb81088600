"""How long a training or evaluation job takes: arithmetic, exchange between GPUs, decoding, checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.planning.hardware import INTERCONNECTS, Gpu, bandwidth
from common.planning.memory import OPTIMIZER, WEIGHT, JobModel
from common.planning.shapes import ModelShape

# A forward pass takes two operations a weight and token, a backward pass twice that.
FORWARD, TRAINING = 2, 6
# AdamW in host memory reads and writes weights, moments and gradients in fp32 and the weights in bf16.
HOST_TRAFFIC = 28


@dataclass(frozen=True)
class Device:
    """What a job runs on.

    Attributes:
        gpu: its type; None for a CPU.
        count: GPUs, or threads of a CPU.
        assumed: values of assumptions.yaml.
        nodes: that the GPUs are in.
    """

    gpu: Gpu | None
    count: int
    assumed: Mapping[str, float]
    nodes: int = 1

    @property
    def flops(self) -> float:
        """Operations a second, all GPUs or threads together."""
        if self.gpu is None:
            return self.count * self.assumed["cpu_gflops"] * 1e9
        return self.count * self.gpu.bf16_tflops * 1e12 * self.assumed["utilisation"]

    @property
    def answering_flops(self) -> float:
        """The same while prompts are answered."""
        return self.flops if self.gpu else self.count * self.assumed["cpu_answering_gflops"] * 1e9

    @property
    def weight_bytes_s(self) -> float:
        """Bytes a second one device reads its weights with."""
        return (self.gpu.memory_gb_s if self.gpu else self.assumed["host_memory_gb_s"]) * 1e9

    @property
    def host_link(self) -> float:
        """Bytes a second between a GPU and its host's memory."""
        if self.gpu is None:
            raise ValueError("a CPU has no link to its own memory")
        return self.gpu.pcie_gb_s * 1e9 * self.assumed["pcie_efficiency"]

    def links(self) -> dict[str, float | None]:
        """Bytes a second by interconnect; without several GPUs nothing is exchanged."""
        if self.gpu is None or self.count == 1:
            return dict.fromkeys(INTERCONNECTS, float("inf"))
        return {name: bandwidth(self.gpu, name, self.assumed, self.nodes) for name in INTERCONNECTS}


def attention_flops(shape: ModelShape, length: float) -> float:
    """Operations of a forward pass a token in attention proper: scores and weighted sums over half the sequence."""
    return 2.0 * shape.layers * shape.hidden * length


def forward_flops(shape: ModelShape, length: float) -> float:
    """Operations of a forward pass a token."""
    return FORWARD * shape.multiplied + attention_flops(shape, length)


def training_flops(shape: ModelShape, length: float, checkpointing: bool) -> float:
    """Operations of a forward and backward pass a token; recomputing activations is one more forward pass."""
    return (TRAINING / FORWARD + checkpointing) * forward_flops(shape, length)


def exchanged_bytes(models: Sequence[JobModel], gpus: int) -> float:
    """Bytes each GPU receives a micro-step under ZeRO stage 3.

    Weights are gathered for the forward and again for the backward pass and gradients are summed: 6 bytes a parameter;
    a frozen model's weights are gathered once.
    """
    sent = sum((3 if model.trained else 1) * WEIGHT * model.shape.parameters for model in models)
    return sent * (gpus - 1) / gpus


def offload_seconds(models: Sequence[JobModel], device: Device, micro_steps: int, offload: str) -> float:
    """Seconds a step takes longer because optimizer states, or weights too, lie in host memory.

    Gradients go down at each micro-step and weights come up once; with `parameters`, weights come up twice more a
    micro-step. The optimizer's own pass is bound by the host's memory.
    """
    if offload == "none":
        return 0.0
    trained = sum(model.shape.parameters for model in models if model.trained)
    moved = trained * WEIGHT * (micro_steps + 1)
    if offload == "parameters":
        moved += 2 * WEIGHT * micro_steps * sum(model.shape.parameters for model in models)
    host = HOST_TRAFFIC * trained / (device.assumed["host_memory_gb_s"] * 1e9)
    return moved / device.count / device.host_link + host


def decoding_seconds(shape: ModelShape, device: Device, tokens: float, batches: float, bytes_per_weight: int) -> float:
    """Seconds of generating: each step reads every weight once, however many rows a batch has.

    Args:
        shape: of the model.
        device: one GPU or a CPU.
        tokens: steps of a batch, that is tokens of its longest answer.
        batches: how many batches one device decodes in turn.
        bytes_per_weight: 2 or 4.
    """
    step = bytes_per_weight * shape.parameters / device.weight_bytes_s
    if device.gpu is not None:
        step = max(step, device.assumed["decoding_step_seconds"])
    return tokens * batches * step


def checkpoint_seconds(size: float, processes: int, assumed: Mapping[str, float]) -> float:
    """Seconds to write a checkpoint, and to hash it, of which each process does its share."""
    return size / (assumed["disk_write_gb_s"] * 1e9) + size / processes / (assumed["hash_gb_s"] * 1e9)


def checkpoint_bytes(models: Sequence[JobModel], deepspeed: bool) -> float:
    """Bytes of a resumable checkpoint: optimizer states and weights of what is trained."""
    return sum(model.shape.parameters for model in models if model.trained) * float(
        OPTIMIZER + WEIGHT if deepspeed else OPTIMIZER
    )
