"""A copy of a model in fp32 that is small enough to be tried out: its first layers, as many as show every kind."""

import copy
from collections.abc import Hashable, Iterator
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

# Models of at most so many parameters are copied whole.
SMALL = 20_000_000


def shallow_copy(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Copies in evaluation mode, to be tried in turn: the first layers of a deep model, then the whole."""
    total = model.config.get_text_config().num_hidden_layers
    stack = _layers(model, total)
    if stack is not None and model.num_parameters() > SMALL and (kept := _layers_of_every_kind(stack)) < total:
        yield _first_layers(model, stack, kept)
    yield _in_fp32(copy.deepcopy(model))


def _in_fp32(model: PreTrainedModel) -> PreTrainedModel:
    return model.float().eval().requires_grad_(False)


def _layers(model: PreTrainedModel, total: int) -> torch.nn.ModuleList | None:
    """The list of all layers, if there is just one of that length."""
    found = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == total]
    return found[0] if len(found) == 1 else None


def _layers_of_every_kind(stack: torch.nn.ModuleList) -> int:
    """How many of the first layers hold one of each kind; at least two."""
    seen: dict[Hashable, int] = {}
    for index, layer in enumerate(stack):
        seen.setdefault(_kind(layer), index)
    return max(2, max(seen.values()) + 1)


def _kind(layer: torch.nn.Module) -> Hashable:
    """What tells layers apart besides their place: their modules and what these are set to."""
    return tuple(
        (name, type(module).__name__, tuple(sorted((k, v) for k, v in vars(module).items() if _is_setting(k, v))))
        for name, module in layer.named_modules()
    )


def _is_setting(name: str, value: Any) -> bool:
    return isinstance(value, bool | int | str) and not name.startswith(("layer_i", "layer_n", "idx"))


def _first_layers(model: PreTrainedModel, stack: torch.nn.ModuleList, kept: int) -> PreTrainedModel:
    """A copy of the model that ends after `kept` layers."""
    config, whole = _config_of(model.config, len(stack), kept), dict(stack._modules)
    for name in list(whole)[kept:]:
        del stack._modules[name]
    try:
        return _in_fp32(copy.deepcopy(model, {id(model.config): config}))
    finally:
        stack._modules.update(whole)


def _config_of(config: PretrainedConfig, total: int, kept: int) -> PretrainedConfig:
    """The configuration of the first layers; lists with an entry for each layer are cut as well."""
    cut = copy.deepcopy(config)
    text = cut.get_text_config()
    for name, value in vars(text).items():
        if isinstance(value, list | tuple) and len(value) == total:
            setattr(text, name, value[:kept])
    text.num_hidden_layers = kept
    return cut
