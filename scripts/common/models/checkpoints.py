"""Base models from directories of other people, refused where loading would be silently incomplete."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError, explain
from common.models.loading import OFFLINE
from common.models.tokenizer_fit import check_ids, check_vocabulary

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerFast]

# Tensors that older versions stored and that are computed today: causal masks and frequencies of rotary embeddings.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|masked_bias|position_ids|(attn|attention)\.bias)$")
_POINTER = b"version https://git-lfs"
_LAYOUT = "give a directory with config.json, weights and tokenizer in Hugging Face layout"


def load_checkpoint(directory: Path, gguf_file: str | None = None) -> Loaded:
    """A causal language model and its tokenizer, every tensor of both accounted for.

    Args:
        directory: in Hugging Face layout, with weights as safetensors or as tensors-only `.bin` files.
        gguf_file: name of the GGUF file in it that holds model and tokenizer, if there is one.

    Raises:
        UserError: when nothing can be loaded, when tensors are missing, left over, of another shape or not finite, and
            when the directory holds an adapter or quantised weights.
    """
    options: dict[str, Any] = {**OFFLINE, "gguf_file": gguf_file} if gguf_file else OFFLINE
    _refuse_pointers(directory)
    if not gguf_file:
        _refuse_adapter(directory)
        _refuse_cut_off(directory)
        _refuse_quantised(_load(AutoConfig, directory, options), directory)
    dtype = torch.float32 if gguf_file else "auto"
    model, report = _load(
        AutoModelForCausalLM, directory,
        {**options, "dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True},
    )  # fmt: skip
    check_tensors(report, directory)
    _refuse_infinite(model, directory)
    return model, cast(PreTrainedTokenizerFast, _load(AutoTokenizer, directory, options))


def check_files(directory: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a base model, and a look at what lies beside it; its weights are not read.

    Raises:
        UserError: as `load_checkpoint`, and when the tokenizer has no vocabulary.
    """
    _refuse_pointers(directory)
    _refuse_adapter(directory)
    _refuse_cut_off(directory)
    config = _load(AutoConfig, directory, OFFLINE)
    _refuse_quantised(config, directory)
    tokenizer = cast(PreTrainedTokenizerFast, _load(AutoTokenizer, directory, OFFLINE))
    check_vocabulary(tokenizer, str(directory))
    if rows := getattr(config.get_text_config(), "vocab_size", None):
        check_ids(tokenizer, rows, str(directory))
    return tokenizer


def _load(loader: Any, directory: Path, options: dict[str, Any]) -> Any:
    try:
        return loader.from_pretrained(directory, **options)
    except Exception as error:  # whatever libraries make of files they cannot read
        if explain(error):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        kind = "tokenizer" if loader is AutoTokenizer else "model"
        raise UserError(f"no {kind} can be loaded: {first}", str(directory), _LAYOUT) from error


def _refuse_pointers(directory: Path) -> None:
    for path in sorted(directory.iterdir()):
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(len(_POINTER)) == _POINTER:
                    raise UserError("a file of the model is a pointer of Git LFS, not the file itself", str(path),
                                    "fetch it: `git lfs pull` in that directory, or download it again")  # fmt: skip


def _refuse_cut_off(directory: Path) -> None:
    """Refuse safetensors files shorter or longer than their headers say; the weights are not read."""
    for path in filter(Path.is_file, sorted(directory.glob("*.safetensors"))):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            what = f"a file of weights is not whole: {error}"
            raise UserError(what, str(path), "download or copy it again") from error


def _refuse_adapter(directory: Path) -> None:
    found = sorted(
        path.name for pattern in ("adapter_config.json", "adapter_model.*") for path in directory.glob(pattern)
    )
    if found:
        remedy = "merge the adapter into its base model first (peft: `merge_and_unload`, `save_pretrained`)"
        raise UserError(
            "an adapter lies in the model's directory and would be ignored", f"{directory / found[0]}", remedy
        )


def _refuse_quantised(config: Any, directory: Path) -> None:
    for part in (config, config.get_text_config()):
        if settings := getattr(part, "quantization_config", None):
            method = settings.get("quant_method") if isinstance(settings, dict) else settings.quant_method
            what = f"the weights are quantised ({method}), which cannot be trained here"
            remedy = "give the model these weights were made from, or de-quantise them and save it again"
            raise UserError(what, f"{directory / 'config.json'}: quantization_config", remedy)


def check_tensors(report: dict[str, Any], directory: Path) -> None:
    """Refuse a checkpoint that does not hold just what its architecture has.

    Args:
        report: `missing_keys`, `unexpected_keys` and `mismatched_keys` of transformers.
        directory: of the checkpoint.

    Raises:
        UserError: naming the tensors and the file.
    """
    file = directory / _weights_file(directory)
    missing = sorted(report["missing_keys"])
    extra = sorted(key for key in report["unexpected_keys"] if not _COMPUTED.search(key))
    if report["mismatched_keys"]:
        name, stored, wanted = sorted(report["mismatched_keys"])[0]
        what = f"tensor {name} is {list(stored)} in the weights and {list(wanted)} by config.json"
        raise UserError(
            what, str(file), "correct config.json (vocab_size and sizes), or take the weights it belongs to"
        )
    if missing and (prefix := _prefix_before(missing, extra)):
        what = f"the tensors are named with `{prefix}` before them, so none would be used"
        raise UserError(what, f"{file}: {extra[0]}", f"remove `{prefix}` from the names and save the weights again")
    if missing:
        what = f"the weights lack {_named(missing)}, which would be drawn at random"
        raise UserError(
            what, str(file), "save the whole model again, or correct config.json where it asks for too much"
        )
    if extra:
        what = f"the weights hold {_named(extra)}, which the architecture of config.json does not use"
        raise UserError(what, str(file), "correct config.json, or save the causal language model alone")
    if report["error_msgs"]:
        raise UserError(f"the weights cannot be read: {report['error_msgs'][0]}", str(file), _LAYOUT)


def _weights_file(directory: Path) -> str:
    """The file transformers reads weights from: the first kind there is."""
    kinds = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    return next((kind for kind in kinds if (directory / kind).exists()), "")


def _prefix_before(missing: Collection[str], extra: Collection[str]) -> str:
    """What stands before the names of missing tensors among those left over."""
    found = {key[: -len(name)] for key in extra for name in missing if key.endswith(f".{name}")}
    return found.pop() if len(found) == 1 else ""


def _named(keys: Collection[str]) -> str:
    first = ", ".join(list(keys)[:3])
    return first if len(keys) <= 3 else f"{first} and {len(keys) - 3} more tensors"


def _refuse_infinite(model: PreTrainedModel, directory: Path) -> None:
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            remedy = "take an earlier checkpoint: a training that diverged leaves such weights"
            raise UserError(f"tensor {name} holds values that are not finite numbers", str(directory), remedy)
