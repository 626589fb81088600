"""What a site's Snakemake profile says of GPUs and of the time between a signal and the end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.yaml_files import read_mapping

# As it stands in slurm_extra: seconds between SIGTERM and the end of the job.
SIGNAL = re.compile(r"--signal=(?:[BR]*:)?TERM@(\d+)")


@dataclass(frozen=True)
class Site:
    """A profile's values by rule; a rule that is not named has the default.

    Attributes:
        gpus: GPUs a rule asks for, where the profile overrides the configuration.
        lead: seconds between SIGTERM and SIGKILL.
        default_lead: the same for all other rules; None where nothing is stated.
        memory: bytes of CPU memory a rule's first attempt asks for.
        scheduled: whether jobs are submitted to a scheduler, which runs many at once.
    """

    gpus: Mapping[str, int] = field(default_factory=dict)
    lead: Mapping[str, int] = field(default_factory=dict)
    default_lead: int | None = None
    memory: Mapping[str, float] = field(default_factory=dict)
    scheduled: bool = False

    def lead_of(self, rule: str) -> int | None:
        return self.lead.get(rule, self.default_lead)


def _lead(resources: Mapping[str, Any]) -> int | None:
    found = SIGNAL.search(str(resources.get("slurm_extra", "")))
    return int(found[1]) if found else None


def _memory(resources: Mapping[str, Any]) -> float | None:
    """`240000` or `min(attempt, 3) * 240000` -> 240e9 bytes; None where nothing is stated, or otherwise."""
    found = re.fullmatch(r"(?:.*\battempt\b.*\*\s*)?(\d+)", str(resources.get("mem_mb", "")).strip())
    return float(found[1]) * 1e6 if found else None


def read_site(profile: Path | None) -> Site:
    """A profile directory's values.

    Raises:
        UserError: when the profile cannot be read.
    """
    if profile is None:
        return Site()
    files = sorted([*profile.glob("config*.yaml"), *profile.glob("config*.yml")])
    if not files:
        raise UserError("a profile holds no config.yaml", str(profile), "give a directory of profiles/")
    gpus, lead, memory, default, scheduled = {}, {}, {}, None, False
    for path in files:
        content = read_mapping(path)
        scheduled = scheduled or "executor" in content
        default = _lead(content.get("default-resources") or {}) or default
        for rule, resources in (content.get("set-resources") or {}).items():
            if isinstance(resources, Mapping):
                if isinstance(resources.get("gpu"), int):
                    gpus[rule] = resources["gpu"]
                if (seconds := _lead(resources)) is not None:
                    lead[rule] = seconds
                if (size := _memory(resources)) is not None:
                    memory[rule] = size
    return Site(gpus=gpus, lead=lead, default_lead=default, memory=memory, scheduled=scheduled)
