"""What a probe found, and the file of assumptions that a plan reads in place of its own."""

import csv
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.files.whole_files import write_text
from common.planning.job_time import Device

# Losses of the first steps, relative to those of fp32 on a CPU.
LARGEST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.01, "float16": 0.01}


@dataclass(frozen=True)
class ProbedTraining:
    """One method's probe.

    Attributes:
        method: its name.
        flops: of a full step; 0 where they are not counted.
        seconds: of a full step; of PPO's without the rollout.
        tokens: of a full step; of PPO those of the responses.
        memory: bytes at the peak of the main process.
        planned: the same as planned.
        decoding: seconds of a decoding step; 0 where nothing is decoded.
    """

    method: str
    flops: float
    seconds: float
    tokens: float
    memory: float
    planned: float
    decoding: float = 0.0


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics.csv; empty cells are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def loss_difference(ours: Sequence[Mapping[str, float]], reference: Sequence[Mapping[str, float]]) -> float:
    """The largest relative difference of two runs' losses, step by step."""
    pairs = zip(ours, reference, strict=True)
    return max(abs(row["loss"] - other["loss"]) / abs(other["loss"]) for row, other in pairs)


def decoding_seconds_at(depth: int, few: tuple[int, float], more: tuple[int, float]) -> float:
    """Seconds of a decoding step at `depth` layers, on the line through two measured (layers, seconds)."""
    slope = (more[1] - few[1]) / (more[0] - few[0])
    return max(few[1], few[1] + slope * (depth - few[0]))


def measured_assumptions(
    device: Device,
    found: Sequence[ProbedTraining],
    *,
    threads: int,
    decoding: float,
    tokens_per_word: float | None,
    machine: str,
) -> dict[str, Any]:
    """Values that take the place of estimates, each with its source.

    Args:
        device: what was measured.
        found: the methods' trainings.
        threads: CPU threads of a training, over all its processes; they count where there is no GPU.
        decoding: seconds of a decoding step; they count on a GPU.
        tokens_per_word: of the run's tokenizer; None where it is not known.
        machine: its name.
    """
    counted = [one for one in found if one.flops]
    speed = sum(one.flops for one in counted) / sum(one.seconds for one in counted)
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    source = f"measured by `make probe` on {machine}, {when}"
    if device.gpu is None:
        values = {"cpu_gflops": round(speed / threads / 1e9, 1)}
    else:
        share = speed / (device.count * device.gpu.bf16_tflops * 1e12)
        values = {"utilisation": round(share, 3), "decoding_step_seconds": round(decoding, 4)}
    if tokens_per_word is not None:
        values["tokens_per_word"] = round(tokens_per_word, 3)
    return {name: {"value": value, "source": source} for name, value in values.items()}


def write_assumptions(path: Path, values: Mapping[str, Any]) -> None:
    """A file for `plan_run.py --assumptions`."""
    write_text(path, yaml.safe_dump(dict(values), sort_keys=False, width=200))
