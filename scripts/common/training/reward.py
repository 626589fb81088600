"""Training a reward model on preference pairs with TRL's RewardTrainer (paper section 3.3, equation 2)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from trl import RewardConfig, RewardTrainer

from common.data.prompts import PromptFormat
from common.files.whole_files import new_directory
from common.models.reward_model import (
    REWARD_MODEL,
    last_token,
    load_reward_model,
    pad_right,
    sequence_rewards,
    token_scores,
)
from common.models.saved_check import PROBE_TOKENS
from common.models.sorted_batches import ALONE, score_in_batches
from common.stats.intervals import cluster_interval
from common.training.frame import Frame
from common.training.sequences import IGNORED, encode, sft_responses
from common.training.trl_training import Objective, OrderedTrainer, compare_losses


@dataclass(frozen=True)
class Pairs:
    """Encoded preference pairs and what could not be used.

    Attributes:
        rows: chosen_ids, rejected_ids and the prompt's id.
        left_out: ids of prompts that leave no room for a response.
        identical: ids of pairs that are the same once cut to length.
        cut: responses that were cut.
    """

    rows: list[dict[str, Any]]
    left_out: list[str]
    identical: list[str]
    cut: int

    def counts(self) -> dict[str, Any]:
        """Counts for run.json."""
        tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in self.rows)
        return {
            "pairs": len(self.rows),
            "prompts": len({row["id"] for row in self.rows}),
            "left_out_prompt_too_long": len(self.left_out),
            "left_out_identical_when_cut": len(self.identical),
            "cut_responses": self.cut,
            "tokens": {"total": tokens},
        }


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, rows: Sequence[Mapping[str, Any]], prompt: PromptFormat, max_length: int
) -> Pairs:
    """Token ids of both responses behind their prompt, closed by EOS.

    Args:
        tokenizer: of the reward model.
        rows: of the rl_reward split.
        prompt: prompt format with the marker response.
        max_length: longest sequence; what is beyond is cut from the response's end and counted.
    """
    pairs, left_out, identical, cut = [], [], [], 0
    for row in rows:
        sides = {}
        for side in ("chosen", "rejected"):
            responses = sft_responses({**row, "response": row[side]}, prompt)
            sides[side] = encode(tokenizer, responses, max_length)
        chosen, rejected = sides["chosen"], sides["rejected"]
        if chosen is None or rejected is None:
            left_out.append(row["id"])
        elif chosen.input_ids == rejected.input_ids:
            identical.append(row["id"])
        else:
            pairs.append({"id": row["id"], "chosen_ids": chosen.input_ids, "rejected_ids": rejected.input_ids})
            cut += bool(chosen.cut) + bool(rejected.cut)
    return Pairs(pairs, left_out, identical, cut)


class PairCollator:
    """Pads chosen and rejected sequences on the right; `labels` tells pairs (0) from fillers (-100)."""

    def __init__(self, pad: int):
        self._pad = pad

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        sequences = [row["chosen_ids"] for row in rows] + [row["rejected_ids"] for row in rows]
        labels = torch.tensor([0 if row["id"] else IGNORED for row in rows])
        return {**pad_right(sequences, self._pad), "labels": labels}


class RewardPairTrainer(OrderedTrainer, RewardTrainer):
    """RewardTrainer with sorted global batches and either loss, averaged over the real pairs of a global batch.

    The mean over the whole batch, instead of a mean of micro-batch means, makes the step the same on any number of
    devices; fillers count for nothing.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, pair_loss: str, **kwargs: Any):
        self._pair_loss = pair_loss
        super().__init__(*args, **kwargs)
        # The trainer counts the labels of each global batch, unshifted, and passes their number on.
        self.model_accepts_loss_kwargs, self._loss_shifts_labels = True, False

    def compute_loss(
        self, model: Any, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        real = inputs["labels"] != IGNORED
        losses, margins = pair_losses(
            token_scores(model, input_ids=ids, attention_mask=mask), ids, mask, self._pair_loss
        )
        # Gradients are averaged over the processes afterwards, hence the factor.
        loss = (losses * real).sum() / num_items_in_batch * self.accelerator.num_processes
        counts = torch.stack([(margins > 0)[real].sum(), real.sum(), (mask.sum(dim=1) * real.repeat(2)).sum()])
        right, pairs, tokens = self.accelerator.reduce(counts, "sum").tolist()
        # One entry per pair: TRL averages them over a step, whose micro-batches hold fillers as well.
        self._metrics["train"]["accuracy"] += [1.0] * right + [0.0] * (pairs - right)
        self._total_train_tokens += int(tokens)
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return loss


def pair_values(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    *,
    pad: int,
    loss: str,
    batch: int,
    device: str,
    share: tuple[int, int] = ALONE,
) -> tuple[list[float], list[float]]:
    """Loss and margin of each pair, in evaluation mode; the work is shared as in `score_in_batches`."""
    if loss == "last_token":
        return _values_of_last_tokens(model, rows, pad=pad, batch=2 * batch, device=device, share=share)
    collate = PairCollator(pad)

    def score(chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = collate([rows[i] for i in chosen])
        ids, mask = inputs["input_ids"].to(device), inputs["attention_mask"].to(device)
        return pair_losses(token_scores(model, input_ids=ids, attention_mask=mask), ids, mask, loss)

    lengths = [pair_length(row) for row in rows]
    losses, margins = score_in_batches(model, lengths, batch=batch, score=score, device=device, share=share)
    return losses, margins


def _values_of_last_tokens(
    model: Any, rows: Sequence[Mapping[str, Any]], *, pad: int, batch: int, device: str, share: tuple[int, int]
) -> tuple[list[float], list[float]]:
    """The same where a pair needs each response's reward alone: a response of several pairs is scored once."""
    pairs = [(tuple(row["chosen_ids"]), tuple(row["rejected_ids"])) for row in rows]
    sequences = list(dict.fromkeys(ids for pair in pairs for ids in pair))
    rewards = dict(zip(sequences, sequence_rewards(model, sequences, pad, batch, device, share), strict=True))
    margins = torch.tensor([rewards[chosen] - rewards[rejected] for chosen, rejected in pairs], dtype=torch.float64)
    return (-logsigmoid(margins)).tolist(), margins.tolist()


def pair_length(row: Mapping[str, Any]) -> int:
    return max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def initial_reward_model(directory: Path, initial: Path, seed: int) -> None:
    """Store the language model in `directory` with a new head, drawn by seed, at `initial`.

    Every process and engine then starts from the same head.
    """
    if not initial.exists():
        set_seed(seed)
        with new_directory(initial) as unfinished:
            load_reward_model(directory, torch.float32).save_pretrained(unfinished)


def reward_objective(frame: Frame, initial: Path, train: Pairs, heldout: Pairs) -> Objective:
    """Preference pairs under equation 2, or DeepSpeed-Chat's variant of it.

    Args:
        frame: settings, tokenizer and engine of the job.
        initial: directory of `initial_reward_model`.
        train: training pairs.
        heldout: pairs of held-out prompts.
    """
    settings, engine = frame.settings, frame.engine
    pad, eos = frame.tokenizer.pad_token_id, frame.tokenizer.eos_token_id
    loss, batch = settings["loss"], settings["training"]["per_device_batch_size"]
    margins: list[float] = []

    def load(dtype: torch.dtype) -> PreTrainedModel:
        return load_reward_model(initial, dtype)

    def measure(wrapped: Any) -> list[float]:
        losses, margins[:] = pair_values(
            wrapped, heldout.rows, pad=pad, loss=loss, batch=batch, device=engine.device, share=engine.share
        )
        return losses

    def summary(before: list[float], after: list[float]) -> dict[str, Any]:
        right = np.asarray(margins) > 0
        low, high = cluster_interval(right, [row["id"] for row in heldout.rows], settings["seed"])
        accuracy = {"accuracy": float(right.mean()), "interval95": [low, high], **heldout.counts()}
        return {
            "heldout_loss": compare_losses(before, after, settings["seed"]),
            "heldout_pairs": {**accuracy, "mean_margin": float(np.mean(margins))},
        }

    return Objective(
        arguments_class=RewardConfig,
        load=load,
        trainer=functools.partial(RewardPairTrainer, data_collator=PairCollator(pad), pair_loss=loss),
        rows=train.rows,
        filler={"id": "", "chosen_ids": [eos], "rejected_ids": [eos]},
        length=pair_length,
        probe=REWARD_MODEL,
        probe_ids=train.rows[0]["chosen_ids"][:PROBE_TOKENS],
        measure=measure,
        facts={
            "train": train.counts(),
            "tokens_seen": {"total": train.counts()["tokens"]["total"] * settings["training"]["epochs"]},
        },
        summary=summary,
    )


def pair_losses(
    scores: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor, loss: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and margin of preference pairs.

    `last_token` is the paper's equation 2: -log sigmoid of the difference of the last tokens' scores.
    `divergent_tokens` averages that over the tokens from where the two responses part to the end of the longer one,
    as DeepSpeed-Chat does (its reward model's forward pass); a shorter response is scored on at its padding there,
    here at its last token.

    Args:
        scores: of every token, shape (2 P, L), the P chosen sequences first, then the rejected ones.
        input_ids: the same shape, padded on the right.
        attention_mask: the same shape.
        loss: last_token or divergent_tokens.

    Returns:
        Loss of each pair and margin (chosen minus rejected score at the last tokens), both of shape (P,).
    """
    rows, last = torch.arange(len(scores), device=scores.device), last_token(attention_mask)
    chosen_end, rejected_end = scores[rows, last].chunk(2)
    margin = chosen_end - rejected_end
    if loss == "last_token":
        return -logsigmoid(margin), margin
    positions = torch.arange(scores.shape[1], device=scores.device)
    clamped = torch.minimum(positions[None], last[:, None])
    chosen, rejected = scores.gather(1, clamped).chunk(2)
    chosen_ids, rejected_ids = input_ids.masked_fill(attention_mask == 0, -1).chunk(2)
    parted = (chosen_ids != rejected_ids).int().cumsum(dim=1) > 0
    chosen_last, rejected_last = last.chunk(2)
    until = positions[None] <= torch.maximum(chosen_last, rejected_last)[:, None]
    counted = (parted & until).float()
    # Identical responses part nowhere: their loss is that of the last tokens.
    counted[counted.sum(dim=1) == 0, -1] = 1.0
    each = -logsigmoid(chosen - rejected)
    return (each * counted).sum(dim=1) / counted.sum(dim=1), margin
