"""How large a model is, counted: it is built of fake tensors, which have a shape and no memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from common.models.loading import OFFLINE
from common.planning.shapes import ModelShape, find_configuration

KINDS = {"language": AutoModelForCausalLM, "reward": AutoModelForSequenceClassification}


def build_fake(
    config: PretrainedConfig, kind: str, dtype: torch.dtype, attention: str = "eager"
) -> tuple[PreTrainedModel, FakeTensorMode]:
    """A model without memory, and the mode its tensors live in.

    Args:
        config: of the architecture.
        kind: language or reward.
        dtype: of the weights.
        attention: transformers' name of the attention implementation.
    """
    mode = FakeTensorMode()
    with mode, no_init_weights():
        model = KINDS[kind].from_config(config, dtype=dtype, attn_implementation=attention)
        model.tie_weights()
    return model, mode


def shape_of(name: str, config: PretrainedConfig, kind: str = "language", origin: str = "") -> ModelShape:
    """Count a model's parameters."""
    model, _ = build_fake(config, kind, torch.float32)
    parameters = sum(weight.numel() for weight in model.parameters())
    lookups = {id(module.weight): module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    head = model.get_output_embeddings()
    if head is not None:
        lookups.pop(id(head.weight), None)
    looked_up = sum(weight.numel() for weight in lookups.values())
    return ModelShape(
        name=name, config=config, kind=kind, parameters=parameters, multiplied=parameters - looked_up, origin=origin
    )


def find_shape(config: Mapping[str, Any], model: str, results: Path, kind: str = "language") -> ModelShape:
    """A configured model's shape, its parameters counted.

    Args: see `find_configuration`; kind: language or reward.

    Raises:
        UserError: when nothing says how large the model is.
    """
    found = find_configuration(config, model, results)
    if found.folder:
        return shape_of(model, AutoConfig.from_pretrained(found.folder, **OFFLINE), kind, found.origin)
    return shape_of(model, AutoConfig.for_model(**found.values), kind, found.origin)
