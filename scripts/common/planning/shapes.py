"""What decides a model's memory and time, and where its configuration is found. Loads no torch."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common.base.errors import UserError
from common.base.paths import HARDWARE
from common.files.whole_files import read_json
from common.files.yaml_files import read_mapping

# Activations of feed-forward layers that multiply two projections and so have a third matrix.
GATED = ("silu", "swiglu", "geglu", "gelu_pytorch_tanh")

# Names some architectures have for a key of the others, and for the number of experts of a layer.
OTHER_NAMES = {
    "n_embd": "hidden_size", "d_model": "hidden_size", "n_layer": "num_hidden_layers", "n_layers": "num_hidden_layers",
    "n_head": "num_attention_heads", "n_heads": "num_attention_heads", "n_inner": "intermediate_size",
    "ffn_dim": "intermediate_size", "n_positions": "max_position_embeddings", "activation_function": "hidden_act",
}  # fmt: skip
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")

ENDLESS = 10**9


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's memory and time.

    Attributes:
        name: in the configuration.
        config: of the architecture: the keys of its config.json as attributes.
        kind: language, or reward for a scalar head in place of the vocabulary's.
        parameters: all of them, shared ones once.
        multiplied: those that take part in matrix products; looking up an embedding is none.
        origin: where the configuration was found.
    """

    name: str
    config: Any
    kind: str
    parameters: int
    multiplied: int
    origin: str

    @property
    def text(self) -> Any:
        """The part of the configuration that is about text."""
        return self.config.get_text_config() if hasattr(self.config, "get_text_config") else self.config

    @property
    def layers(self) -> int:
        return int(self.text.num_hidden_layers)

    @property
    def hidden(self) -> int:
        return int(self.text.hidden_size)

    @property
    def inner(self) -> int:
        """Width of the feed-forward layers."""
        widths = (getattr(self.text, name, None) for name in ("intermediate_size", "ffn_dim", "n_inner"))
        return next((int(width) for width in widths if isinstance(width, int)), 4 * self.hidden)

    @property
    def context(self) -> int:
        """Most tokens of a sequence; as good as endless where the configuration names no limit."""
        limits = (getattr(self.text, name, None) for name in ("max_position_embeddings", "max_seq_len"))
        return next((int(limit) for limit in limits if limit), ENDLESS)

    @property
    def cache_width(self) -> int:
        """Numbers the keys and values of one token take over all layers; none where a state replaces them."""
        heads = getattr(self.text, "num_attention_heads", None)
        if not heads:
            return 0
        size = getattr(self.text, "head_dim", None) or self.hidden // heads
        return int(2 * self.layers * size * (getattr(self.text, "num_key_value_heads", None) or heads))


@dataclass(frozen=True)
class FoundConfiguration:
    """The keys of a model's config.json, the folder it lies in (None: it is in no folder yet), and where that is."""

    values: Mapping[str, Any]
    folder: Path | None
    origin: str


def model_folders(config: Mapping[str, Any], model: str, results: Path) -> Iterator[Path]:
    """Where a configured model's files are already: prepared, downloaded, or a local directory."""
    source = config["models"][model]["source"]
    folders = [results / "models" / model / "pretrained", results / "downloads" / "models" / model]
    folders += [Path(source["path"])] if source["kind"] == "local" else []
    yield from (folder for folder in folders if (folder / "config.json").is_file())


@functools.cache
def _known_models() -> dict[str, Any]:
    return read_mapping(HARDWARE / "models.yaml")


def find_configuration(config: Mapping[str, Any], model: str, results: Path) -> FoundConfiguration:
    """A model's configuration: of the prepared model, its download, the preset or resources/hardware/models.yaml.

    Args:
        config: the whole configuration.
        model: name in its registry.
        results: directory of the preset's results; it need not exist.

    Raises:
        UserError: when nothing says how large the model is.
    """
    source = config["models"][model]["source"]
    for folder in model_folders(config, model, results):
        return FoundConfiguration(read_json(folder / "config.json"), folder, str(folder))
    if source["kind"] == "random":
        values = {"model_type": source["architecture"], "vocab_size": source["vocabulary"], **source["config"]}
        return FoundConfiguration(values, None, "the preset")
    if source["kind"] == "local":
        what = f"the directory of model `{model}` has no config.json"
        remedy = "give a directory with config.json, weights and tokenizer in Hugging Face layout"
        raise UserError(what, source["path"], remedy)
    known = _known_models()
    identity = source.get("repository") or source.get("package")
    if identity not in known:
        raise UserError(
            f"the size of model `{model}` is not known yet", f"models.{model}.source",
            f"run `make setup` for this preset first, or add `{identity or model}` to resources/hardware/models.yaml",
        )  # fmt: skip
    return FoundConfiguration(known[identity]["config"], None, "resources/hardware/models.yaml")


def estimate_shape(config: Mapping[str, Any], model: str, results: Path, kind: str = "language") -> ModelShape:
    """A model's shape from the keys of its configuration alone: fast, and within some per cent for usual decoders.

    Args: see `find_configuration`; kind: language or reward.

    Raises:
        UserError: when the configuration is not found or has no such keys.
    """
    found = find_configuration(config, model, results)
    try:
        return _shape_from_keys(model, found, kind)
    except KeyError as error:
        raise UserError(
            f"the size of model `{model}` cannot be told from its configuration, which has no key {error}",
            found.origin, "`make plan` builds the model to count its parameters",
        ) from error  # fmt: skip


def _shape_from_keys(model: str, found: FoundConfiguration, kind: str) -> ModelShape:
    """Weights of the matrices of a decoder; norms, biases and positions are left out."""
    values = _usual_names(found.values)
    hidden, layers = values["hidden_size"], values["num_hidden_layers"]
    heads, attention, head, shared = values.get("num_attention_heads"), 0, 0, 0
    if heads:
        head = values.get("head_dim") or hidden // heads
        shared = values.get("num_key_value_heads") or heads
        attention = 2 * hidden * head * (heads + shared)
    embedding = values["vocab_size"] * (values.get("word_embed_proj_dim") or hidden)
    language = kind == "language"
    tables = 2 if language and not values.get("tie_word_embeddings", True) else 1
    keys = SimpleNamespace(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=shared,
        head_dim=head, max_position_embeddings=values.get("max_position_embeddings", 2048),
    )  # fmt: skip
    weights = layers * (attention + _feed_forward(values, hidden))
    return ModelShape(
        name=model, config=keys, kind=kind, parameters=weights + tables * embedding,
        multiplied=weights + (embedding if language else 0), origin=found.origin,
    )  # fmt: skip


def _usual_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with most architectures' names of its keys, and the part that is about text on top."""
    flat = {**values, **(values.get("text_config") or {})}
    return flat | {usual: flat[name] for name, usual in OTHER_NAMES.items() if flat.get(name) is not None}


def _feed_forward(values: Mapping[str, Any], hidden: int) -> int:
    """Weights of a layer's feed-forward block with all its experts, or of a block that keeps a state."""
    state = "num_attention_heads" not in values
    inner = values.get("intermediate_size") or values.get("expand", 4) * hidden
    activation = values.get("hidden_act", "relu" if "ffn_dim" in values else "silu")
    matrices = 3 if state or activation in GATED else 2
    experts = next((values[name] for name in EXPERTS if values.get(name)), 0)
    if experts:
        expert = values.get("moe_intermediate_size") or inner
        beside = values.get("shared_expert_intermediate_size") or (values.get("n_shared_experts") or 0) * expert
        inner = experts * expert + beside
    return int(matrices * hidden * inner)
