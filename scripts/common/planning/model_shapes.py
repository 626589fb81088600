"""How large a model is, counted: it is built of fake tensors, which have a shape and no memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from common.base.errors import UserError
from common.models.loading import OFFLINE
from common.models.reward_model import no_reward_model
from common.planning.shapes import ModelShape, find_configuration

KINDS = {"language": AutoModelForCausalLM, "reward": AutoModelForSequenceClassification}


@contextmanager
def plannable(config: PretrainedConfig, where: str) -> Iterator[None]:
    """Tell whatever an architecture does not let the plan find out as something the plan does not know.

    Raises:
        UserError: naming the architecture.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:120]
        what = f"the plan does not know this architecture ({config.model_type}): {type(error).__name__}: {first}"
        raise UserError(what, where, "run without a plan, or choose another model") from error


def build_fake(
    config: PretrainedConfig, kind: str, dtype: torch.dtype, attention: str | None = "eager"
) -> tuple[PreTrainedModel, FakeTensorMode]:
    """A model without memory, and the mode its tensors live in.

    Args:
        config: of the architecture.
        kind: language or reward.
        dtype: of the weights.
        attention: transformers' name of the attention implementation; None for the one it would choose.
    """
    mode = FakeTensorMode()
    with mode, no_init_weights():
        model = KINDS[kind].from_config(config, dtype=dtype, attn_implementation=attention)
        model.tie_weights()
    return model, mode


def shape_of(name: str, config: PretrainedConfig, kind: str = "language", origin: str = "") -> ModelShape:
    """Count a model's parameters.

    Raises:
        UserError: when transformers cannot build it, or builds no reward model of it.
    """
    with plannable(config, origin or name):
        if kind == "reward" and type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise no_reward_model(config, f"rl.reward: {name}")
        model, _ = build_fake(config, kind, torch.float32)
        if kind == "reward" and not hasattr(model, "score"):
            raise no_reward_model(config, f"rl.reward: {name}")
    parameters = sum(weight.numel() for weight in model.parameters())
    lookups = {id(module.weight): module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    head = model.get_output_embeddings()
    if head is not None:
        lookups.pop(id(head.weight), None)
    looked_up = sum(weight.numel() for weight in lookups.values())
    shape = ModelShape(
        name=name, config=config, kind=kind, parameters=parameters, multiplied=parameters - looked_up, origin=origin
    )
    with plannable(config, origin or name):  # what the plan will ask of it
        assert min(shape.layers, shape.hidden, shape.cache_width + 1) > 0
    return shape


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
