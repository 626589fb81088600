"""How many sequences each stage sees and how long they are: from the split manifest, else from stated means."""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.paths import ROOT
from common.config.local_files import Places
from common.config.methods import METHODS
from common.data.instructions import load_instructions
from common.data.splits import manifest, split
from common.files.whole_files import canonical_json, read_json

# Tokens that frame a response: marker, EOS, line break.
FRAME_TOKENS = 6
# Scored responses of a prompt in GPT-4-LLM.
RESPONSES = 3
# Pairs a prompt yields under the other rules than `all_distinct`, at most.
MOST_PAIRS = {"best_vs_rest": 2.0, "best_vs_worst": 1.0}


@dataclass(frozen=True)
class Sequences:
    """Sequences of one stage.

    Attributes:
        count: of them.
        mean: tokens of one, cut to the longest allowed.
        longest: tokens of the longest.
        spread: standard deviation of a length's logarithm.
        measured: whether counts and lengths come from the splits and not from assumptions.
    """

    count: int
    mean: float
    longest: int
    spread: float
    measured: bool


@dataclass(frozen=True)
class WordCounts:
    """Mean and largest number of words of a text, and the spread of their logarithm.

    The largest is unknown without splits.
    """

    mean: float
    largest: float | None
    spread: float


def read_manifest(config: Mapping[str, Any], results: Path) -> dict[str, Any] | None:
    """The manifest of the configured splits, if they were made; else what it would be, if the data are local files."""
    path = results / "data" / "splits" / "manifest.json"
    if path.is_file():
        found: dict[str, Any] = read_json(path)
        made_of = found["provenance"]["settings"]
        if made_of == {"seed": config["seed"], "splits": config["splits"]}:
            return found
    instructions = config["instructions"]
    references, comparisons = instructions["references"], instructions["comparisons"]
    if references["kind"] != "file" or comparisons["kind"] != "file":
        return None
    return _local_manifest(
        references=references["path"], comparisons=comparisons["path"], share=instructions["max_rejected_share"],
        splits_json=canonical_json(config["splits"]), seed=config["seed"],
    )  # fmt: skip


@functools.cache
def _local_manifest(references: str, comparisons: str, share: float, splits_json: str, seed: int) -> dict[str, Any]:
    places = Places(ROOT, Path.cwd())
    rows = load_instructions(Path(places.find(references)), Path(places.find(comparisons)), share).rows
    splits = json.loads(splits_json)
    return manifest(split(rows, splits, seed), rows, splits, seed)


def example_count(config: Mapping[str, Any], method: str, known: Mapping[str, Any] | None, pairs: float) -> int:
    """Training sequences, pairs or prompts of a method.

    Args:
        config: the whole configuration.
        method: a name of METHODS.
        known: manifest of the splits, or None.
        pairs: preference pairs a prompt yields when all with different scores are taken.
    """
    splits = config["splits"]
    part = METHODS[method].split
    if known is not None:
        return int(known["counts"][part])
    if method in ("rl_sft", "ppo"):
        return int(splits[part])
    if method == "reward":
        return round(splits[part] * MOST_PAIRS.get(splits["pairs"], pairs))
    return int(splits["prompts"] - (0 if splits["fine_tune_on_heldout"] else splits["heldout"]))


def heldout_sequences(config: Mapping[str, Any], method: str) -> int:
    """Held-out sequences a training job is measured on; the reward model scores every response of a prompt once."""
    splits = config["splits"]
    if METHODS[method].heldout is None or (splits["fine_tune_on_heldout"] and method in ("sft", "sft_best", "coh")):
        return 0
    return int(splits["heldout"]) * (RESPONSES if method == "reward" else 1)


def text_words(known: Mapping[str, Any] | None, assumed: Mapping[str, float]) -> dict[str, WordCounts]:
    """Words of prompts and responses by role."""
    if known is None:
        spread = assumed["length_spread"]
        response = WordCounts(assumed["words_response"], None, spread)
        second = WordCounts(assumed["words_second_response"], None, spread)
        prompt = WordCounts(assumed["words_prompt"], None, spread)
        return {"prompt": prompt, "reference": response, "better": response, "worse": second}
    found = known["words"]
    names = {
        "prompt": "instruction_and_input", "reference": "sft_response", "better": "coh_better", "worse": "coh_worse",
    }  # fmt: skip
    return {role: _word_counts(found[name]) for role, name in names.items()}


def _word_counts(found: Mapping[str, Any]) -> WordCounts:
    """A text's numbers of words, whose logarithms are taken to be normal: mean and median then tell their spread."""
    mean, median = found["mean"] or 0.0, found["median"] or 0.0
    spread = math.sqrt(2 * math.log(mean / median)) if mean > median > 0 else 0.0
    return WordCounts(mean, found["max"], spread)


def sequences(
    config: Mapping[str, Any], method: str, limit: int, results: Path, assumed: Mapping[str, float]
) -> Sequences:
    """Count and lengths of a method's sequences.

    Args:
        config: the whole configuration.
        method: a name of METHODS; examples of `reward` are pairs, those of `ppo` prompts.
        limit: longest sequence in tokens; without splits some sequence is taken to be that long.
        results: directory of the preset's results.
        assumed: values of assumptions.yaml.
    """
    known = read_manifest(config, results)
    words = text_words(known, assumed)
    texts = METHODS[method].texts
    frame = FRAME_TOKENS * max(1, len(texts) - 1)
    mean = assumed["tokens_per_word"] * sum(words[text].mean for text in texts) + frame
    largest = [words[text].largest for text in texts]
    longest = limit
    if known is not None:
        longest = min(limit, round(assumed["tokens_per_word"] * sum(value or 0 for value in largest) + frame))
    count = example_count(config, method, known, assumed["pairs_per_prompt"])
    spread = max(words[text].spread for text in texts)
    return Sequences(count, min(mean, limit), longest, spread, known is not None)
