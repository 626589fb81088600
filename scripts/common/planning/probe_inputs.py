"""What a probe trains: models of full width and few layers, and rows that are as long as the configuration allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed

from common.base.errors import UserError
from common.base.paths import ROOT
from common.data.prompts import PromptFormat
from common.data.rows import read_rows
from common.data.splits import COLUMNS
from common.files.parquet import write_parquet
from common.files.whole_files import new_directory, write_record
from common.models.loading import OFFLINE, load_tokenizer, save_model, weights_hash
from common.models.sources import small_tokenizer
from common.planning.model_shapes import shape_of
from common.planning.shapes import ModelShape, find_configuration

# Words of the texts: a tokenizer of a few hundred tokens, made from them, takes each for one or two.
TEXT = "the probe reads some words in a row and then says which of them it has seen before one by one"
TOKENS = 400
# What configurations call the rates of dropout.
DROPOUT = ("dropout", "attention_dropout", "activation_dropout", "layerdrop", "resid_pdrop", "embd_pdrop", "attn_pdrop")
ENGLISH = ROOT / "resources/demo/instructions/alpaca_gpt4_data.json"


@dataclass(frozen=True)
class ProbeModel:
    """A model of the configuration with fewer layers, drawn at random.

    Attributes:
        folder: its directory.
        shape: its size.
        depth: layers it has in the run.
        tokens_per_word: of its tokenizer in plain English; None where the small one stands in for it.
    """

    folder: Path
    shape: ModelShape
    depth: int
    tokens_per_word: float | None


def make_model(
    config: Mapping[str, Any], name: str, results: Path, layers: int, folder: Path, own_tokenizer: bool
) -> ProbeModel:
    """Write the model; without dropout, so that its losses can be compared.

    Args:
        config: the whole configuration.
        name: of the model in it.
        results: directory of the preset's results, read for what is there.
        layers: most layers.
        folder: directory to write.
        own_tokenizer: whether the prepared model's is taken, and not a small one.
    """
    found = find_configuration(config, name, results)
    known = (
        AutoConfig.from_pretrained(found.folder, **OFFLINE) if found.folder else AutoConfig.for_model(**found.values)
    )
    depth = known.num_hidden_layers
    known.num_hidden_layers = min(layers, depth)
    if getattr(known, "layer_types", None):
        known.layer_types = known.layer_types[: known.num_hidden_layers]
    for rate in DROPOUT:
        if hasattr(known, rate):
            setattr(known, rate, 0.0)
    if own_tokenizer and found.folder:
        tokenizer = load_tokenizer(found.folder)
    else:
        tokenizer = small_tokenizer([TEXT, *config["prompt"]["markers"].values()], TOKENS)
    for role in ("bos", "eos", "pad"):
        setattr(known, f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))
    set_seed(config["seed"])
    model = AutoModelForCausalLM.from_config(known, dtype=torch.bfloat16)
    with new_directory(folder) as unfinished:
        save_model(model, tokenizer, unfinished)
        write_record(unfinished / "run.json", {"weights_sha256": weights_hash(unfinished)})
    words_as_tokens = tokens_per_word(tokenizer) if own_tokenizer else None
    return ProbeModel(folder, shape_of(name, known, "language", found.origin), depth, words_as_tokens)


def tokens_per_word(tokenizer: PreTrainedTokenizerFast) -> float:
    """Tokens of the demo's responses for each of their words."""
    texts = [row["output"] for _, row in read_rows(ENGLISH)]
    return sum(len(ids) for ids in tokenizer(texts)["input_ids"]) / sum(len(text.split()) for text in texts)


def write_rows(
    folder: Path, tokenizer: PreTrainedTokenizerFast, prompt: PromptFormat, longest: int, prompts: int, rows: int
) -> None:
    """Rows for every method, all of them as long as may be.

    Args:
        folder: where the splits' files go.
        tokenizer: of the model.
        prompt: format with the marker response.
        longest: tokens that each response has at least.
        prompts: most tokens of a prompt, its marker included.
        rows: how many.
    """
    response = words(longest)
    shared = {"input": "", "response": response, "better": response, "worse": f"then {response}", "tie": False,
              "better_source": "probe", "worse_source": "probe", "better_score": 9.0, "worse_score": 5.0,
              "better_first": True, "chosen": response, "rejected": f"then {response}", "chosen_source": "probe",
              "rejected_source": "probe", "chosen_score": 9.0, "rejected_score": 5.0}  # fmt: skip
    count = prompts
    while (
        len(tokenizer(prompt.prompt(f"{rows} {words(count)}", "") + prompt.markers["response"])["input_ids"]) > prompts
    ):
        count -= 1
        if count == 0:
            remedy = "shorten it, or raise `max_length` and `max_prompt_length`"
            raise UserError(f"the prompt's own words leave no room within {prompts} tokens", "prompt", remedy)
    made = [{**shared, "id": f"p{i}", "instruction": f"{i} {words(count)}"} for i in range(rows)]
    for name in ("sft", "coh", "rl_reward", "rl_prompts"):
        for file, some in ((name, made), (f"heldout_{name}", made[:2])):
            write_parquet(folder / f"{file}.parquet", some, COLUMNS[name])


def words(count: int) -> str:
    """A text of so many words, which has at least as many tokens."""
    known = TEXT.split()
    return " ".join(known[i % len(known)] for i in range(count))
