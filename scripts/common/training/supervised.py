"""Supervised fine-tuning of a causal language model on token sequences: SFT, CoH and stage 1 of the RL arm."""

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from common.base.errors import UserError
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.models.loading import load_model
from common.models.saved_check import LANGUAGE_MODEL, PROBE_TOKENS
from common.models.sorted_batches import ALONE, score_in_batches
from common.training.frame import Frame, training_frame
from common.training.sequences import IGNORED, Encoded, Response, TokenSequence, encode_all, sft_responses
from common.training.trl_training import Objective, OrderedTrainer, compare_losses, run_training, save_trained

Row = Mapping[str, Any]
Examples = list[tuple[str, list[Response]]]


def fine_tune(
    script: str, arguments: argparse.Namespace, console: Console, responses: Callable[[Row, Frame], list[Response]]
) -> None:
    """A supervised training from its split to its saved model.

    Args:
        script: its name.
        arguments: of `training_parser`.
        console: of the job.
        responses: what is learnt of a row of the split.
    """
    models, data = {"model": arguments.model}, {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame(script, arguments, console, models=models, data=data) as frame:
        train, heldout = ([(row["id"], responses(row, frame)) for row in read_parquet(path)] for path in data.values())
        encoded, unseen = encode_examples(frame, train, heldout)
        objective = supervised_objective(frame, arguments.model, encoded, unseen)
        save_trained(frame, objective, run_training(frame, objective))


def reference_response(row: Row, frame: Frame) -> list[Response]:
    """A row's one response behind its prompt."""
    return sft_responses(row, frame.prompt)


class SortedBatchTrainer(OrderedTrainer, SFTTrainer):
    """SFTTrainer whose global batches hold the same prompts on any number of devices, sorted by length."""


def sequence_losses(
    model: Any,
    sequences: Sequence[TokenSequence],
    *,
    pad: int,
    batch: int,
    device: str,
    share: tuple[int, int] = ALONE,
) -> list[float]:
    """Mean negative log-likelihood of each sequence's target tokens, in nats.

    Args:
        model: a causal language model with TRL's fused head, wrapped by its engine or not.
        sequences: what to score, at least one.
        pad: padding token id.
        batch: sequences at once.
        device: where the model is.
        share: see `score_in_batches`.
    """
    collate = DataCollatorForLanguageModeling(pad_token_id=pad)

    def score(chosen: list[int]) -> list[torch.Tensor]:
        inputs = {key: value.to(device) for key, value in collate([_row(sequences[i]) for i in chosen]).items()}
        targets = (inputs["labels"][:, 1:] != IGNORED).sum(dim=1)
        return [-model(**inputs, fused_lm_head=True).log_probs.sum(dim=1) / targets]

    lengths = [len(sequence.input_ids) for sequence in sequences]
    return score_in_batches(model, lengths, batch=batch, score=score, device=device, share=share)[0]


def _row(sequence: TokenSequence) -> dict[str, list[int]]:
    return {"input_ids": sequence.input_ids, "labels": sequence.labels}


def encode_examples(frame: Frame, train: Examples, heldout: Examples) -> tuple[Encoded, Encoded | None]:
    """Sequences to train on and held-out ones; None where the configuration holds none out.

    Args:
        frame: tokenizer, longest sequence and where progress goes.
        train: (id, responses) to train on.
        heldout: the same of held-out prompts.

    Raises:
        UserError: when no training sequence is left.
    """
    max_length, loss_on = frame.settings["training"]["max_length"], frame.settings.get("loss_on", "responses")
    encoded = encode_all(frame.tokenizer, train, max_length, loss_on)
    if not encoded.sequences:
        raise UserError("no training sequence is left", str(frame.inputs["train"]),
                        "raise the counts of `splits`, or `max_length`")  # fmt: skip
    if not frame.settings["heldout_loss"]:
        return encoded, None
    unseen = encode_all(frame.tokenizer, heldout, max_length, loss_on)
    if not unseen.sequences and frame.engine.is_main:
        frame.console.say(f"no held-out loss is measured: {frame.inputs['heldout']} leaves no sequence")
    return encoded, unseen


def supervised_objective(frame: Frame, model: Path, train: Encoded, heldout: Encoded | None) -> Objective:
    """Negative log-likelihood of the labelled tokens (paper equations 1 and 3).

    Args:
        frame: settings, tokenizer and engine of the job.
        model: directory of the model to start from.
        train: training sequences.
        heldout: held-out sequences, or None when the configuration holds none out; without any, none is measured.
    """
    pad, eos, engine = frame.tokenizer.pad_token_id, frame.tokenizer.eos_token_id, frame.engine
    training, seed = frame.settings["training"], frame.settings["seed"]
    unseen = heldout.sequences if heldout else []

    def measure(wrapped: Any) -> list[float]:
        batch = training["per_device_batch_size"]
        return sequence_losses(wrapped, unseen, pad=pad, batch=batch, device=engine.device, share=engine.share)

    return Objective(
        arguments_class=functools.partial(SFTConfig, dataset_kwargs={"skip_prepare_dataset": True}),
        load=functools.partial(load_model, model),
        trainer=functools.partial(SortedBatchTrainer, data_collator=DataCollatorForLanguageModeling(pad_token_id=pad)),
        rows=[_row(sequence) for sequence in train.sequences],
        filler={"input_ids": [eos, eos], "labels": [IGNORED, IGNORED]},
        length=lambda row: len(row["input_ids"]),
        probe=LANGUAGE_MODEL,
        probe_ids=train.sequences[0].input_ids[:PROBE_TOKENS],
        measure=measure if unseen else None,
        facts={
            "train": train.counts(),
            "tokens_seen": {kind: n * training["epochs"] for kind, n in train.counts()["tokens"].items()},
        },
        summary=lambda before, after: {"heldout_loss": compare_losses(before, after, seed)},
    )
