"""What one kind of job needs, and what all of them together need on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.base.checkpoint_times import PART_OF_LEAD
from common.config import settings
from common.planning.basis import BF16, FP32, Basis
from common.planning.job_time import checkpoint_seconds
from common.planning.memory import Memory

# Checkpoints on disk at once: two are kept, and a third is being written.
CHECKPOINTS = 3


@dataclass(frozen=True)
class JobPlan:
    """What one kind of job needs.

    Attributes:
        rule: of the workflow.
        model: name in the configuration.
        count: jobs of this kind.
        gpus: of each job.
        parameters: over all its models.
        memory: on each GPU, or on the CPU.
        tokens: of one job, each seen as often as it is.
        flops: of one job.
        seconds: of one job, by interconnect; None where the GPU type has no such link.
        step_seconds: of one optimizer step on the slowest link there is.
        checkpoint: bytes of one.
        disk: bytes of what the job leaves behind.
        estimated: whether sequence lengths are assumed.
    """

    rule: str
    model: str
    count: int
    gpus: int
    parameters: int
    memory: Memory
    tokens: float
    flops: float
    seconds: Mapping[str, float | None]
    step_seconds: float = 0.0
    checkpoint: float = 0.0
    disk: float = 0.0
    estimated: bool = True

    @property
    def name(self) -> str:
        return f"{self.rule} {self.model}"

    @property
    def host_memory(self) -> float:
        """Bytes of CPU memory."""
        return self.memory.host if self.gpus else self.memory.total

    @property
    def scratch(self) -> float:
        """Bytes of resumable state at most."""
        return CHECKPOINTS * self.checkpoint

    def gpu_hours(self, interconnect: str) -> float | None:
        """GPU-hours of all jobs of this kind."""
        seconds = self.seconds[interconnect]
        return None if seconds is None else self.count * self.gpus * seconds / 3600


def needed_lead(job: JobPlan, assumed: Mapping[str, float]) -> float:
    """Seconds between SIGTERM and SIGKILL a job needs for the step that is under way and its checkpoint."""
    return (job.step_seconds + checkpoint_seconds(job.checkpoint, max(1, job.gpus), assumed)) / PART_OF_LEAD


@dataclass(frozen=True)
class DiskPlan:
    """Bytes on disk at most."""

    base_models: float
    trained_models: float
    resumable_state: float

    @property
    def total(self) -> float:
        return self.base_models + self.trained_models + self.resumable_state


def disk_bytes(basis: Basis, jobs: Sequence[JobPlan], together: bool) -> DiskPlan:
    """Downloads and prepared models (fp16 on the hub, fp32 for small models), trained models, resumable state.

    Args:
        basis: of the plan.
        jobs: its jobs.
        together: whether a scheduler runs every training that waits for no other at the same time; else one runs.
    """
    config = basis.config
    per_weight = {"hub": 2 * BF16, "local": BF16, "wheel": FP32 + 1, "random": FP32}
    base = sum(
        basis.shape(name).parameters * per_weight[config["models"][name]["source"]["kind"]]
        for name in settings.used_models(config)
    )
    trained, scratch = sum(job.count * job.disk for job in jobs), [job.scratch for job in jobs]
    independent = [job.scratch for job in jobs if job.rule not in ("train_ppo", "train_dpo")]
    return DiskPlan(float(base), trained, max(sum(independent) if together else 0.0, *scratch))
