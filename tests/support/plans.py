"""What a plan is made of: a preset's configuration, models of a given size, assumptions and a GPU."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig, LlamaConfig

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.model_shapes import find_shape
from common.planning.shapes import ModelShape
from support.tiny_models import FAMILIES

ASSUMED = {name: entry.value for name, entry in load_assumptions().items()}
NOWHERE = Path("/nonexistent")
LLAMA_13B = 13_015_864_320


def preset(name: str) -> dict[str, Any]:
    """The configuration of a preset over the demo."""
    return load_configuration(ROOT / "config.yaml", [] if name == "demo" else [ROOT / f"config/{name}.yaml"], {})


def sized(parameters: int, multiplied: int | None = None) -> ModelShape:
    """A shape of so many parameters, whatever its architecture."""
    return ModelShape("m", LlamaConfig(), "language", parameters, multiplied or parameters, "")


def basis_of(config: dict[str, Any], gpu: str | None = None, **options: Any) -> Basis:
    """What jobs of a configuration are planned from, where nothing was made yet."""
    return Basis(config, load_gpu(gpu or config["compute"]["gpu_type"]), ASSUMED, NOWHERE, find_shape, **options)


def tiny(family: str, **values: Any) -> Any:
    """The configuration of a tiny model of a family, with some values of its own."""
    return AutoConfig.for_model(family, vocab_size=1000, **{**FAMILIES[family], **values})
