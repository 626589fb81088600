"""What does not fit, and which setting would make it fit."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.base.errors import UserError
from common.planning.basis import Basis
from common.planning.job_plan import JobPlan, needed_lead
from common.planning.job_time import checkpoint_seconds
from common.planning.planner import plan_again
from common.planning.site_profiles import Site

Keys = tuple[str, ...]

FASTER_DISK = "a faster disk under results/*/scratch"


@dataclass(frozen=True)
class Problem:
    """Something that stands in a plan's way.

    Attributes:
        where: the job.
        what: one sentence.
        remedies: each one suffices; empty when no setting does.
    """

    where: str
    what: str
    remedies: list[str]


@dataclass(frozen=True)
class ConfigChange:
    """Keys of a configuration with other values."""

    values: Mapping[Keys, Any]

    def __str__(self) -> str:
        return ", ".join(f"`{'.'.join(keys)}: {str(value).lower()}`" for keys, value in self.values.items())

    def apply(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A changed copy of the configuration."""
        changed = copy.deepcopy(dict(config))
        for keys, value in self.values.items():
            block = changed
            for key in keys[:-1]:
                block = block[key]
            block[keys[-1]] = value
        return changed


def _kinds_of_change(config: Mapping[str, Any], rule: str) -> Iterator[Sequence[ConfigChange]]:
    """Settings that lower a job's memory, by kind; within a kind the mildest first."""
    if not rule.startswith("train_"):
        tokens = config["evaluation"]["batch_tokens"]
        yield [ConfigChange({("evaluation", "batch_tokens"): tokens // share}) for share in (2, 4, 8, 16)]
        return
    method = rule.removeprefix("train_")
    keys: Keys = ("methods", "ppo") if method == "ppo" else ("methods", method, "training")
    block = config["methods"][method] if method == "ppo" else config["methods"][method]["training"]
    compute, batch = config["compute"], block["per_device_batch_size"]
    if not compute["gradient_checkpointing"]:
        yield [ConfigChange({("compute", "gradient_checkpointing"): True})]
    smaller = [batch // share for share in (2, 4, 8, 16, 32, 64) if batch % share == 0]
    yield [ConfigChange({(*keys, "per_device_batch_size"): size}) for size in smaller]
    further = {"none": ("optimizer", "parameters"), "optimizer": ("parameters",), "parameters": ()}[compute["offload"]]
    yield [ConfigChange({("compute", "offload"): offload}) for offload in further]


def _fitting(basis: Basis, job: JobPlan, changes: Sequence[ConfigChange], room: float) -> str | None:
    """The first of these changes under which a job fits, with its cost in words."""
    for change in changes:
        try:
            changed = plan_again(basis.changed(change.apply(basis.config)), job)
        except UserError:  # a batch that does not divide
            continue
        if changed.memory.total <= room:
            host = f", {changed.memory.host / 1e9:.0f} GB of CPU memory" if changed.memory.host else ""
            return f"{change}: {changed.memory.total / 1e9:.1f} GB{host}, {hours(changed)}"
    return None


def hours(job: JobPlan) -> str:
    """A job's hours in words."""
    known = {link: seconds for link, seconds in job.seconds.items() if seconds is not None}
    if len(set(known.values())) == 1:
        return f"{next(iter(known.values())) / 3600:.2g} h"
    return ", ".join(f"{seconds / 3600:.2g} h over {link}" for link, seconds in known.items())


def remedies(basis: Basis, job: JobPlan, room: float) -> list[str]:
    """Settings that make a job fit, each alone; when none does, all of them together."""
    kinds = list(_kinds_of_change(basis.config, job.rule))
    single = [_fitting(basis, job, changes, room) for changes in kinds]
    found = [words for words in single if words]
    if found:
        return found
    everything = {keys: value for changes in kinds if changes for keys, value in changes[-1].values.items()}
    together = _fitting(basis, job, [ConfigChange(everything)], room) if everything else None
    return [together] if together else []


def memory_problems(basis: Basis, jobs: Sequence[JobPlan], room_of: Callable[[JobPlan], float | None]) -> list[Problem]:
    """Jobs that need more memory than their device has.

    Args:
        basis: of the plan.
        jobs: its jobs.
        room_of: bytes of a job's device; None where it is unknown.
    """
    problems = []
    for job in jobs:
        room = room_of(job)
        if room is not None and job.memory.total > room:
            needed, there = job.memory.total / 1e9, room / 1e9
            what = f"{needed:.1f} GB are needed ({job.memory.moment}), {there:.1f} GB are there"
            settings = remedies(basis, job, room)
            problems.append(Problem(job.name, what, settings or ["more GPUs, or GPUs with more memory"]))
    return problems


def host_problems(jobs: Sequence[JobPlan], site: Site) -> list[Problem]:
    """Jobs whose profile asks for less CPU memory than they need."""
    problems = []
    for job in jobs:
        asked = site.memory.get(job.rule)
        if asked is not None and asked < job.host_memory:
            what = f"{job.host_memory / 1e9:.1f} GB of CPU memory are needed, the profile asks for {asked / 1e9:.1f}"
            remedy = f"`mem_mb: {math.ceil(job.host_memory / 1e9) * 1000}` or more for {job.rule} in the profile"
            problems.append(Problem(job.name, what, [remedy]))
    return problems


def stuck_problems(jobs: Sequence[JobPlan], assumed: Mapping[str, float], stuck_seconds: int) -> list[Problem]:
    """Jobs whose watchdog would take the writing of a checkpoint, or a step, for standing still.

    Args:
        jobs: of the plan.
        assumed: values of assumptions.yaml.
        stuck_seconds: of the configuration.
    """
    problems = []
    for job in jobs:
        written = checkpoint_seconds(job.checkpoint, max(1, job.gpus), assumed)
        longest = max(job.step_seconds, written)
        if job.checkpoint and longest > stuck_seconds:
            what = (
                f"a step ({job.step_seconds:.0f} s) or writing a checkpoint of {job.checkpoint / 1e9:.0f} GB "
                f"({written:.0f} s) takes longer than the {stuck_seconds} s after which a job counts as stuck"
            )
            change = f"`compute: {{stuck_seconds: {600 * math.ceil(2 * longest / 600)}}}`"
            problems.append(Problem(job.name, what, [change, FASTER_DISK]))
    return problems


def lead_problems(
    jobs: Sequence[JobPlan], site: Site, assumed: Mapping[str, float], usual: int | None = None
) -> list[Problem]:
    """Jobs a scheduler would kill before their state is written.

    Args:
        jobs: of the plan.
        site: the profile, which may overrule the signal of a rule.
        assumed: values of assumptions.yaml.
        usual: seconds between SIGTERM and the end that the configuration asks for; None without a scheduler.
    """
    problems = []
    for job in jobs:
        lead = usual if site.lead_of(job.rule) is None else site.lead_of(job.rule)
        if not job.checkpoint or lead is None or needed_lead(job, assumed) <= lead:
            continue
        needed = needed_lead(job, assumed)
        what = (
            f"{lead} s lie between SIGTERM and the end; to finish a step ({job.step_seconds:.0f} s), write and hash "
            f"{job.checkpoint / 1e9:.0f} GB takes {needed:.0f} s"
        )
        signal = f"`compute: {{stop_lead_seconds: {60 * -int(-needed // 60)}}}`"
        problems.append(Problem(job.name, what, [signal, FASTER_DISK]))
    return problems
