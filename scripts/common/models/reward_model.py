"""Reward models: a causal language model's backbone with a scalar head (paper section 3.3).

Every token gets a score; the score of a sequence is that of its last real token. The critic of PPO is the same network
read at every token.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl.trainer.reward_trainer import suppress_seqcls_warning

from common.base.errors import UserError
from common.models.loading import OFFLINE
from common.models.saved_check import Probe
from common.models.sorted_batches import ALONE, score_in_batches

TOKENIZER_PROBE = "Give three tips.\nInput: \u00e9, 42\nResponse: 1. Eat well </s> <|im_end|>"


def load_reward_model(directory: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A reward model, or a language model with a new head drawn from torch's random state, in `dtype`.

    Raises:
        UserError: when the architecture has no reward model.
    """
    config = AutoConfig.from_pretrained(directory, **OFFLINE)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise no_reward_model(config, str(directory))
    with suppress_seqcls_warning():
        model = AutoModelForSequenceClassification.from_pretrained(
            directory, dtype=dtype, num_labels=1, use_safetensors=True, **OFFLINE
        )
    if not isinstance(getattr(model, "score", None), torch.nn.Linear):
        raise no_reward_model(config, str(directory))
    model.score.__class__ = SinglePrecisionHead
    return model


class SinglePrecisionHead(torch.nn.Linear):
    """A linear layer that computes in fp32 whatever its weights and inputs are.

    In bf16 a reward above 2 would be rounded to 1/64, more than what the KL divergence takes from a token's reward.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name that torch gives it
        bias = None if self.bias is None else self.bias.float()
        return torch.nn.functional.linear(input.float(), self.weight.float(), bias)


def no_reward_model(config: PretrainedConfig, where: str) -> UserError:
    """What is said of an architecture that transformers has no classifier for with a score for every token."""
    what = f"transformers makes no reward model of this architecture ({config.model_type})"
    return UserError(what, where, "choose another model for `rl.reward`, such as OPT or LLaMA")


def token_scores(model: Any, **inputs: Any) -> torch.Tensor:
    """The scalar head's output at every token, in fp32.

    The whole model runs, so that its engine sees an ordinary forward pass; the head's output is taken before
    transformers picks one token of it.

    Args:
        model: a reward model, wrapped by its engine or not.
        inputs: what it reads: `input_ids` of shape (B, L) and the like; rows may be padded on either side.

    Returns:
        Scores, shape (B, L); those at padding mean nothing.
    """
    seen: list[torch.Tensor] = []
    head = getattr(model, "module", model).score
    handle = head.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        model(**inputs, use_cache=False)
    finally:
        handle.remove()
    return seen[0].squeeze(-1).float()


def last_token(attention_mask: torch.Tensor) -> torch.Tensor:
    """Index of each row's last real token, shape (B,), wherever the padding is."""
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (attention_mask * positions).argmax(dim=1)


def pad_right(sequences: Sequence[Sequence[int]], pad: int) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask, shape (B, longest)."""
    width = max(len(ids) for ids in sequences)
    ids = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids in sequences])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences])
    return {"input_ids": ids, "attention_mask": mask}


def sequence_rewards(
    model: Any,
    sequences: Sequence[Sequence[int]],
    pad: int,
    batch: int,
    device: str,
    share: tuple[int, int] = ALONE,
) -> list[float]:
    """Each sequence's reward: the score at its last token.

    Args:
        model: a reward model, wrapped by its engine or not.
        sequences: token ids, at least one sequence, EOS included where the response ended.
        pad: padding token id.
        batch: sequences at once.
        device: where the model is.
        share: see `score_in_batches`.
    """

    def score(chosen: list[int]) -> list[torch.Tensor]:
        inputs = {key: value.to(device) for key, value in pad_right([sequences[i] for i in chosen], pad).items()}
        return [token_scores(model, **inputs)[torch.arange(len(chosen)), last_token(inputs["attention_mask"])]]

    [rewards] = score_in_batches(model, [len(ids) for ids in sequences], batch, score, device=device, share=share)
    return rewards


def check_same_tokenizer(actor: PreTrainedTokenizerFast, reward: PreTrainedTokenizerFast) -> None:
    """The reward model reads the actor's tokens, so both must have one vocabulary.

    Raises:
        UserError: when they tokenise differently.
    """
    same_words = actor.get_vocab() == reward.get_vocab()
    same_text = actor(TOKENIZER_PROBE)["input_ids"] == reward(TOKENIZER_PROBE)["input_ids"]
    same_special = (actor.eos_token_id, actor.pad_token_id) == (reward.eos_token_id, reward.pad_token_id)
    if not (same_words and same_text and same_special):
        raise UserError("actor and reward model have different tokenizers", "rl.actor, rl.reward",
                        "choose two models of one family, such as opt-6.7b and opt-350m")  # fmt: skip


@torch.no_grad()
def _mean_score(model: Any, ids: Sequence[int], device: str) -> float:
    was_training = model.training
    model.eval()
    tokens = torch.tensor([list(ids)], device=device)
    value = float(token_scores(model, input_ids=tokens, attention_mask=torch.ones_like(tokens)).mean())
    model.train(was_training)
    return value


def _saved_reward_model(directory: Path, ids: Sequence[int], dtype: torch.dtype) -> float:
    return _mean_score(load_reward_model(directory, dtype), ids, "cpu")


REWARD_MODEL = Probe(_mean_score, _saved_reward_model)
