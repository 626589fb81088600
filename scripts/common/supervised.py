"""Supervised fine-tuning of a causal language model on token sequences: SFT, CoH and stage 1 of the RL arm."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from common.batching import GlobalBatchSampler
from common.models import load_model
from common.reload import LANGUAGE_MODEL, PROBE_TOKENS
from common.sequences import IGNORED, Encoded, TokenSequence
from common.training import LastingTokenCount, Objective, compare_losses


class SortedBatchTrainer(LastingTokenCount, SFTTrainer):
    """SFTTrainer whose global batches hold the same prompts on any number of devices, sorted by length."""

    def __init__(self, *args: Any, sampler: GlobalBatchSampler, **kwargs: Any):
        self._sampler = sampler
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> GlobalBatchSampler:
        return self._sampler


def sequence_losses(model: Any, sequences: Sequence[TokenSequence], pad: int, batch: int, device: str) -> list[float]:
    """Mean negative log-likelihood of each sequence's target tokens, in nats.

    Args:
        model: a causal language model with TRL's fused head, wrapped by its engine or not.
        sequences: what to score.
        pad: padding token id.
        batch: sequences at once.
        device: where the model is.
    """
    collate = DataCollatorForLanguageModeling(pad_token_id=pad)
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i].input_ids))
    losses = [0.0] * len(sequences)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            rows = [_row(sequences[i]) for i in chosen]
            inputs = {key: value.to(device) for key, value in collate(rows).items()}
            log_probs = model(**inputs, fused_lm_head=True).log_probs
            targets = (inputs["labels"][:, 1:] != IGNORED).sum(dim=1)
            for i, loss in zip(chosen, (-log_probs.sum(dim=1) / targets).tolist(), strict=True):
                losses[i] = loss
    model.train(was_training)
    return losses


def _row(sequence: TokenSequence) -> dict[str, list[int]]:
    return {"input_ids": sequence.input_ids, "labels": sequence.labels}


def supervised_objective(
    settings: Mapping[str, Any],
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    device: str,
    train: Encoded,
    heldout: Encoded | None,
) -> Objective:
    """Negative log-likelihood of the labelled tokens (paper equations 1 and 3).

    Args:
        settings: of the training job.
        model: directory of the model to start from.
        tokenizer: of the model.
        device: where the model will be.
        train: training sequences.
        heldout: held-out sequences, or None when the configuration holds none out.
    """
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    training, seed = settings["training"], settings["seed"]

    def measure(wrapped: Any) -> list[float]:
        sequences = heldout.sequences if heldout else []
        return sequence_losses(wrapped, sequences, pad, training["per_device_batch_size"], device)

    return Objective(
        arguments_class=functools.partial(SFTConfig, dataset_kwargs={"skip_prepare_dataset": True}),
        load=functools.partial(load_model, model),
        trainer=functools.partial(SortedBatchTrainer, data_collator=DataCollatorForLanguageModeling(pad_token_id=pad)),
        rows=[_row(sequence) for sequence in train.sequences],
        filler={"input_ids": [eos, eos], "labels": [IGNORED, IGNORED]},
        length=lambda row: len(row["input_ids"]),
        probe=LANGUAGE_MODEL,
        probe_ids=train.sequences[0].input_ids[:PROBE_TOKENS],
        measure=measure if heldout else None,
        facts={
            "train": train.counts(),
            "tokens_seen": {kind: n * training["epochs"] for kind, n in train.counts()["tokens"].items()},
        },
        summary=lambda before, after: {"heldout_loss": compare_losses(before, after, seed)},
    )
