"""How models and tokenizers are loaded and stored: as safetensors, never as pickled code."""

from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from common.base.errors import UserError
from common.files.whole_files import sha256_of_file, sha256_of_text

# Nothing is fetched while loading, and no code that lies beside the weights is run.
OFFLINE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a prepared model."""
    _refuse_missing(directory)
    return cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(directory, **OFFLINE))


def load_model(directory: Path, dtype: torch.dtype, attention: str | None = None) -> PreTrainedModel:
    """A prepared causal language model from safetensors, in `dtype`."""
    _refuse_missing(directory)
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation=attention, use_safetensors=True, **OFFLINE
    )


def _refuse_missing(directory: Path) -> None:
    if not directory.is_dir():
        raise UserError("there is no model", str(directory), "prepare or train it first")


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Store weights as safetensors, configuration and tokenizer in Hugging Face layout."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def weights_hash(directory: Path) -> str:
    """One hash over all weight files of a model directory.

    Raises:
        UserError: when there are none.
    """
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise UserError("a model directory holds no safetensors weights", str(directory), "prepare the model again")
    return sha256_of_text("\n".join(f"{file.name} {sha256_of_file(file)}" for file in files))
