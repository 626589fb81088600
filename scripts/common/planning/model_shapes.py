"""How large a model is: its configuration, wherever it can be found without a network, and its parameters.

Models are built of fake tensors, which have a shape and no memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from common.base.paths import HARDWARE
from common.files.yaml_files import read_mapping
from common.models.generation import context_of
from common.models.loading import OFFLINE
from common.models.reward_model import no_reward_model

ENDLESS = 10**9
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
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def hidden(self) -> int:
        return int(self.config.get_text_config().hidden_size)

    @property
    def context(self) -> int:
        """Most tokens of a sequence; as good as endless where the configuration names no limit."""
        return context_of(self.config) or ENDLESS

    @property
    def cache_width(self) -> int:
        """Numbers the keys and values of one token take over all layers; none where a state replaces them."""
        text = self.config.get_text_config()
        heads = getattr(text, "num_attention_heads", None)
        if not heads:
            return 0
        size = getattr(text, "head_dim", None) or self.hidden // heads
        return int(2 * self.layers * size * (getattr(text, "num_key_value_heads", None) or heads))


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


def model_folders(config: Mapping[str, Any], model: str, results: Path) -> Iterator[Path]:
    """Where a configured model's files are already: prepared, downloaded, or a local directory."""
    source = config["models"][model]["source"]
    folders = [results / "models" / model / "pretrained", results / "downloads" / "models" / model]
    folders += [Path(source["path"])] if source["kind"] == "local" else []
    yield from (folder for folder in folders if (folder / "config.json").is_file())


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
    for folder in model_folders(config, model, results):
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
