"""What a plan rests on: a configuration, a GPU type and the stated assumptions."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.config.machine_settings import job_threads
from common.planning.hardware import Gpu, load_assumptions, load_gpu
from common.planning.job_time import Device
from common.planning.shapes import ModelShape, estimate_shape

FP32, BF16 = 4, 2


@dataclass(frozen=True)
class Basis:
    """What a plan rests on.

    Attributes:
        config: the whole configuration, checked.
        gpu: type that is planned for.
        assumed: values of assumptions.yaml.
        results: directory of the preset's results, read for what is known already; it need not exist.
        find: of (config, model, results, kind) the model's shape: `find_shape` counts it, `estimate_shape` is fast.
        gpus: GPUs of a rule where a profile says otherwise than the configuration.
        threads: CPU threads of a rule, likewise.
        longest: tokens of the longest sequence by method, where it is known better than from counted words.
        shapes: those found so far, by model and kind.
    """

    config: Mapping[str, Any]
    gpu: Gpu
    assumed: Mapping[str, float]
    results: Path
    find: Callable[[Mapping[str, Any], str, Path, str], ModelShape]
    gpus: Mapping[str, int] = field(default_factory=dict)
    threads: Mapping[str, int] = field(default_factory=dict)
    longest: Mapping[str, int] = field(default_factory=dict)
    shapes: dict[tuple[str, str], ModelShape] = field(default_factory=dict)

    def changed(self, config: Mapping[str, Any]) -> "Basis":
        """The same for other settings of the same models."""
        return replace(self, config=config)

    def shape(self, model: str, kind: str = "language") -> ModelShape:
        """A configured model's size."""
        if (model, kind) not in self.shapes:
            self.shapes[model, kind] = self.find(self.config, model, self.results, kind)
        return self.shapes[model, kind]

    def device(self, rule: str) -> Device:
        """What a rule's jobs run on."""
        compute, prefix = self.config["compute"], "" if rule.startswith("train_") else "evaluation_"
        gpus = self.gpus.get(rule, compute[f"{prefix}gpus"])
        if compute["device"] == "cpu" or gpus == 0:
            asked = self.threads.get(rule, compute[f"{prefix}threads"])
            return Device(None, job_threads(asked, os.cpu_count()), self.assumed)
        return Device(self.gpu, gpus, self.assumed, compute["nodes"] if rule.startswith("train_") else 1)

    def deepspeed(self, device: Device) -> bool:
        """Whether ZeRO-3 is planned for; on a CPU, where it serves tests, plain torch is."""
        return device.gpu is not None and self.config["compute"]["engine"] != "torch"


def light_basis(config: Mapping[str, Any], results: Path) -> Basis:
    """A basis whose shapes are estimated, so that no torch is loaded.

    Args:
        config: the whole configuration.
        results: directory of the preset's results.
    """
    assumed = {name: entry.value for name, entry in load_assumptions().items()}
    gpu = load_gpu(config["compute"]["gpu_type"])
    return Basis(config=config, gpu=gpu, assumed=assumed, results=results, find=estimate_shape)


def weight_bytes(device: Device) -> int:
    """Bytes of a weight in the type that training and answering use there."""
    return FP32 if device.gpu is None else BF16
