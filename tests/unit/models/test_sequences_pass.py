"""Sequences that lie end to end in one row are read each by itself, by every architecture with a shared prefix."""

import random

import pytest
import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    set_seed,
)

from common.models.reward_model import token_scores
from common.models.shared_prefix import IMPLEMENTATION, SequencesPass
from support.architectures import VOCABULARY, build, configuration
from support.documented_ways import documented_ways

QUICK = {"llama", "gemma2", "mistral:window", "opt"}
NAMES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name, way in documented_ways().items()
    if way == "shared_prefix"
]
LENGTHS = [1, 40, 7]


@pytest.fixture
def sequences() -> list[list[int]]:
    words = random.Random(5)
    return [words.choices(range(4, VOCABULARY), k=length) for length in LENGTHS]


def end_to_end(sequences: list[list[int]]) -> dict[str, object]:
    """What a model is given."""
    return {
        "input_ids": torch.tensor([sum(sequences, [])]),
        "position_ids": torch.tensor([[place for sequence in sequences for place in range(len(sequence))]]),
        "attention_pass": SequencesPass(LENGTHS),
    }


def read_both_ways(model: PreTrainedModel, sequences: list[list[int]], read) -> None:
    """Compare what `read` finds of the model's inputs, end to end and alone with transformers' own attention."""
    model.eval()
    usual = model.config._attn_implementation
    with torch.no_grad():
        alone = [read(input_ids=(ids := torch.tensor([one])), attention_mask=torch.ones_like(ids)) for one in sequences]
        model.set_attn_implementation(IMPLEMENTATION)
        together = read(**end_to_end(sequences)).split(LENGTHS, dim=1)
    model.set_attn_implementation(usual)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_a_language_model_and_scores_of_a_reward_model(name: str, sequences: list[list[int]]) -> None:
    """The latter of those architectures that transformers makes one of."""
    model = build(name)
    read_both_ways(model, sequences, lambda **inputs: model(**inputs, use_cache=False).logits)
    config = configuration(name, num_labels=1)
    if type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        set_seed(1)
        scorer = AutoModelForSequenceClassification.from_config(config)
        if isinstance(getattr(scorer, "score", None), torch.nn.Linear):  # what `load_reward_model` asks for
            read_both_ways(scorer, sequences, lambda **inputs: token_scores(scorer, **inputs))
