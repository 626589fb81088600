"""Tokenizers as people have them: made fit, or refused with words that lead on."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError
from common.data.prompts import PromptFormat
from common.models.loading import load_tokenizer
from common.models.tokenizer_fit import ENGLISH, KOREAN, check_stored, fit_tokenizer
from common.training.sequences import Response, encode

ANGLED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
BERT = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


def byte_level(
    corpus: list[str], names: dict[str, str], template: str = "", size: int = 600
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with these special tokens and this template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = list(dict.fromkeys(names.values()))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    if template:
        known = [(word, tokenizer.token_to_id(word)) for word in template.split() if word != "$A"]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=known)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def gpt2(rows: int, **values: object) -> PreTrainedModel:
    config = AutoConfig.for_model("gpt2", vocab_size=rows, n_embd=16, n_layer=1, n_head=2, n_positions=64, **values)
    return AutoModelForCausalLM.from_config(config)


def fit(
    tokenizer: PreTrainedTokenizerFast, folder: Path, **values: object
) -> tuple[PreTrainedTokenizerFast, list[str]]:
    """The tokenizer that later jobs load, and what was said of it."""
    notes = fit_tokenizer(gpt2(values.pop("rows", len(tokenizer)), **values), tokenizer, "here")
    tokenizer.save_pretrained(folder)
    stored = load_tokenizer(folder)
    check_stored(tokenizer, stored, "here")
    return stored, notes


@pytest.mark.parametrize(
    ("names", "template", "before", "behind"),
    [
        (ANGLED, "<s> $A </s>", ["<s>"], "</s>"),
        (ANGLED, "$A </s> </s>", [], "</s> </s>"),
        (BERT, "[CLS] $A [SEP]", ["[CLS]"], "[SEP]"),
    ],
)
def test_nothing_is_put_behind_a_prompt_and_what_stands_before_it_stays(
    corpus: list[str], tmp_path: Path, names: dict[str, str], template: str, before: list[str], behind: str
) -> None:
    tokenizer = byte_level(corpus, names, template)
    bare = tokenizer(ENGLISH, add_special_tokens=False)["input_ids"]
    stored, notes = fit(tokenizer, tmp_path)
    assert f"the tokenizer put {behind} behind every text; it no longer does" in notes
    expected = stored.convert_tokens_to_ids(before)
    assert stored(ENGLISH)["input_ids"] == [*expected, *bare]
    # Training reads the same: one EOS behind each response, none behind the prompt.
    prompt = PromptFormat("{instruction}\n", "{instruction}\n{input}\n", {"response": "Response:"})
    begin = prompt.prompt("Say it.", "") + "Response:"
    sequence = encode(stored, [Response(begin, " Yes", "response")], 64)
    assert sequence is not None
    assert sequence.input_ids.count(stored.eos_token_id) == 1
    assert sequence.input_ids[-1] == stored.eos_token_id


@pytest.mark.parametrize("nested", [False, True])
def test_other_kinds_of_templates_append_nothing_either(corpus: list[str], tmp_path: Path, nested: bool) -> None:
    tokenizer = byte_level(corpus, ANGLED)
    ends = processors.RobertaProcessing(("</s>", tokenizer.eos_token_id), ("<s>", tokenizer.bos_token_id))
    parts = processors.Sequence([processors.ByteLevel(), ends]) if nested else ends
    tokenizer.backend_tokenizer.post_processor = parts
    assert tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
    stored, _ = fit(tokenizer, tmp_path)
    assert stored("a")["input_ids"] == [stored.bos_token_id, *stored("a", add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize(
    ("names", "values", "eos"),
    [
        (BERT, {"eos_token_id": None}, "[SEP]"),
        (BERT, {"eos_token_id": 50256}, "[SEP]"),
        ({"bos_token": "<start>", "unk_token": "<done>"}, {"eos_token_id": 1}, "<done>"),
        ({"bos_token": "<s>", "unk_token": "</s>"}, {"eos_token_id": None}, "</s>"),
    ],
)
def test_an_eos_that_is_not_named_is_found(
    corpus: list[str], tmp_path: Path, names: dict[str, str], values: dict[str, int | None], eos: str
) -> None:
    stored, notes = fit(byte_level(corpus, names), tmp_path, **values)
    assert stored.eos_token == eos
    assert f"the tokenizer has no EOS; {eos} is taken for it" in notes


def test_without_anything_that_could_end_a_text_it_is_refused(corpus: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no EOS") as caught:
        fit(byte_level(corpus, {"unk_token": "<unk>"}), tmp_path, eos_token_id=None)
    assert "tokenizer_config.json" in caught.value.remedy


def test_one_special_token_is_enough(corpus: list[str], tmp_path: Path) -> None:
    only = "<|endoftext|>"
    stored, notes = fit(byte_level(corpus, {"bos_token": only, "eos_token": only, "unk_token": only}), tmp_path)
    assert (stored.eos_token, stored.pad_token) == (only, only)
    assert notes == [f"the tokenizer names no padding token; {only} is taken for it"]


def test_padding_is_kept_apart_from_eos_where_there_is_another_token(corpus: list[str], tmp_path: Path) -> None:
    stored, notes = fit(byte_level(corpus, {**ANGLED, "pad_token": "</s>"}), tmp_path)
    assert stored.pad_token == "<unk>"
    assert "the tokenizer names padding with </s>, which ends texts; <unk> is taken for it" in notes


def test_a_token_beyond_the_embeddings_is_named(corpus: list[str], tmp_path: Path) -> None:
    tokenizer = byte_level(corpus, ANGLED)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    with pytest.raises(UserError, match=rf"'\[PAD\]' has id {rows}, the model's embeddings have {rows} rows") as caught:
        fit(tokenizer, tmp_path, rows=rows)
    assert "resize_token_embeddings" in caught.value.remedy


def test_the_tokenizer_of_a_much_larger_model_is_refused(corpus: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokens for 5000 embeddings: it is not this model's"):
        fit(byte_level(corpus, ANGLED), tmp_path, rows=5000)
    fit(byte_level(corpus, ANGLED), tmp_path, rows=1024)  # embeddings rounded up


@pytest.mark.parametrize("tokenizer_class", ["LlamaTokenizer", "BertTokenizer", "GPT2Tokenizer", "T5Tokenizer", None])
def test_a_directory_without_vocabulary_is_refused(tmp_path: Path, tokenizer_class: str | None) -> None:
    gpt2(600).save_pretrained(tmp_path)
    if tokenizer_class:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class, **ANGLED}))
    with pytest.raises(UserError, match="loses plain English") as caught:
        fit(AutoTokenizer.from_pretrained(tmp_path), tmp_path / "fit", rows=600)
    assert "tokenizer's files" in caught.value.remedy


def test_a_vocabulary_whose_merges_are_missing_is_refused(corpus: list[str], tmp_path: Path) -> None:
    whole = json.loads(byte_level(corpus, ANGLED, size=2000).backend_tokenizer.to_str())
    whole["model"]["merges"] = []
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(whole)), **ANGLED)
    with pytest.raises(UserError, match="its merges are missing"):
        fit(tokenizer, tmp_path)


def test_a_class_that_reads_otherwise_than_the_file_is_told(corpus: list[str], tmp_path: Path) -> None:
    byte_level([*corpus, "42 42 42 42 17 17 17 17 59 59 59"], ANGLED, size=900).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    for kind, told in (("gpt2", False), ("qwen2", True)):  # Qwen's class splits numbers into digits
        model = gpt2(900) if kind == "gpt2" else AutoModelForCausalLM.from_config(
            AutoConfig.for_model("qwen2", vocab_size=900, num_key_value_heads=2, **sizes)
        )  # fmt: skip
        model.config.save_pretrained(tmp_path)
        notes = fit_tokenizer(model, AutoTokenizer.from_pretrained(tmp_path), "here")
        assert any("otherwise than tokenizer.json says" in note for note in notes) == told


def test_lost_korean_is_told(corpus: list[str], tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=list(BERT.values()), show_progress=False)
    tokenizer.train_from_iterator([*corpus, ENGLISH], trainer)
    tokenizer.decoder = decoders.WordPiece()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **BERT)
    assert wrapped.unk_token_id in wrapped(KOREAN)["input_ids"]
    _, notes = fit(wrapped, tmp_path)
    assert any("loses Korean" in note for note in notes)
