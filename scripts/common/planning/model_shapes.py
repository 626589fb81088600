"""How large a model is: its configuration, wherever it can be found without a network, and its parameters.

Models are built of fake tensors, which have a shape and no memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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

from common.base.errors import UserError
from common.base.paths import HARDWARE
from common.files.yaml_files import read_mapping
from common.models.loading import OFFLINE

KINDS = {"language": AutoModelForCausalLM, "reward": AutoModelForSequenceClassification}


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's memory and time.

    Attributes:
        name: in the configuration.
        config: of the architecture.
        kind: language, or reward for a scalar head in place of the vocabulary's.
        parameters: all of them, shared ones once.
        multiplied: those that take part in matrix products; looking up an embedding is none.
        origin: where the configuration was found.
    """

    name: str
    config: PretrainedConfig
    kind: str
    parameters: int
    multiplied: int
    origin: str

    @property
    def layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def hidden(self) -> int:
        return int(self.config.hidden_size)

    @property
    def cache_width(self) -> int:
        """Numbers the keys and values of one token take over all layers."""
        heads = self.config.num_attention_heads
        size = getattr(self.config, "head_dim", None) or self.hidden // heads
        return int(2 * self.layers * size * (getattr(self.config, "num_key_value_heads", None) or heads))


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
    """A configured model's shape, from the prepared model, its download, the preset or resources/hardware/models.yaml.

    Args:
        config: the whole configuration.
        model: name in its registry.
        results: directory of the preset's results; it need not exist.
        kind: language or reward.

    Raises:
        UserError: when nothing says how large the model is.
    """
    source = config["models"][model]["source"]
    folders = [results / "models" / model / "pretrained", results / "downloads" / "models" / model]
    folders += [Path(source["path"])] if source["kind"] == "local" else []
    for folder in folders:
        if (folder / "config.json").is_file():
            return shape_of(model, AutoConfig.from_pretrained(folder, **OFFLINE), kind, str(folder))
    if source["kind"] == "random":
        values = {"model_type": source["architecture"], "vocab_size": source["vocabulary"], **source["config"]}
        return shape_of(model, AutoConfig.for_model(**values), kind, "the preset")
    known = read_mapping(HARDWARE / "models.yaml")
    identity = source.get("repository") or source.get("package")
    if identity not in known:
        raise UserError(
            f"the size of model `{model}` is not known yet", f"models.{model}.source",
            f"run `make setup` for this preset first, or add `{identity or model}` to resources/hardware/models.yaml",
        )  # fmt: skip
    return shape_of(model, AutoConfig.for_model(**known[identity]["config"]), kind, "resources/hardware/models.yaml")
