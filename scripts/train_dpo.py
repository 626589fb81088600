"""Direct preference optimisation (Rafailov et al. 2023) on the pairs of Chain-of-Hindsight, from the SFT checkpoint.

Not an arm of the paper: it learns from the same two responses as CoH, and like stage 3 it is held near the model it
starts from. Pairs of equal score state no preference and are left out.
"""

import common.base.quick_start

import argparse
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from common.base.batch_sizes import deal_equally
from common.base.errors import UserError
from common.data.prompts import PromptFormat
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.models.loading import load_model
from common.models.reward_model import pad_right
from common.models.saved_check import LANGUAGE_MODEL, PROBE_TOKENS
from common.training.frame import Frame, job_parser, run_training_job, training_frame
from common.training.onednn_linear import multiply_by_onednn
from common.training.sequences import IGNORED, Encoded, TokenSequence, encode, sft_responses
from common.training.trl_training import Objective, OrderedTrainer, run_training, save_trained

Pair = tuple[TokenSequence, TokenSequence]


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, rows: Sequence[Mapping[str, Any]], prompt: PromptFormat, max_length: int
) -> tuple[list[Pair], list[str]]:
    """Better and worse response behind their prompt, and the ids of prompts that leave no room for one.

    Args:
        tokenizer: of the model.
        rows: of the coh split.
        prompt: prompt format with the marker response.
        max_length: longest sequence in tokens.
    """
    pairs, left_out = [], []
    for row in (row for row in rows if not row["tie"]):
        better, worse = (
            encode(tokenizer, sft_responses({**row, "response": row[side]}, prompt), max_length)
            for side in ("better", "worse")
        )
        if better is None or worse is None:
            left_out.append(row["id"])
        else:
            pairs.append((better, worse))
    return pairs, left_out


def as_row(better: TokenSequence, worse: TokenSequence) -> dict[str, list[int]]:
    return {
        "better_ids": better.input_ids, "better_labels": better.labels,
        "worse_ids": worse.input_ids, "worse_labels": worse.labels,
    }  # fmt: skip


def collate(rows: Sequence[Mapping[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """All better sequences, then all worse ones, as DPOTrainer wants them: shape (2 * pairs, longest)."""
    sides = ("better", "worse")
    labels = pad_right([row[f"{side}_labels"] for side in sides for row in rows], IGNORED)["input_ids"]
    return {
        **pad_right([row[f"{side}_ids"] for side in sides for row in rows], pad),
        "completion_mask": (labels != IGNORED).long(),
    }


class PreferenceTrainer(OrderedTrainer, DPOTrainer):
    """DPOTrainer on encoded pairs, in the order of data all methods share.

    Each pair weighs one over the global batch, because DPOTrainer averages over micro-batches of equal size. A filler
    has no response: its loss is ln 2 whatever the model, its gradient zero.
    """

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def dpo_objective(frame: Frame, model: Path, pairs: Sequence[Pair], facts: Mapping[str, Any]) -> Objective:
    """Rafailov et al. 2023, equation 7; nothing held out is measured.

    Args:
        frame: settings, tokenizer and engine of the job.
        model: directory of the model to start from, which is also the reference.
        pairs: better and worse sequences.
        facts: what run.json says of the data.
    """
    eos = frame.tokenizer.eos_token_id
    nothing = TokenSequence([eos] * 2, [IGNORED] * 2, ())

    def trainer(**options: Any) -> PreferenceTrainer:
        reference = load_model(model, frame.engine.dtype)
        multiply_by_onednn(reference, frame.engine)
        collator = functools.partial(collate, pad=frame.tokenizer.pad_token_id)
        return PreferenceTrainer(ref_model=reference, data_collator=collator, **options)

    return Objective(
        arguments_class=functools.partial(DPOConfig, beta=frame.settings["beta"]),
        load=functools.partial(load_model, model),
        trainer=trainer,
        rows=[as_row(*pair) for pair in pairs],
        filler=as_row(nothing, nothing),
        length=lambda row: max(len(row["better_ids"]), len(row["worse_ids"])),
        probe=LANGUAGE_MODEL,
        probe_ids=pairs[0][0].input_ids[:PROBE_TOKENS],
        measure=None,
        facts=facts,
        summary=lambda before, after: {},
        deal=deal_equally,
    )


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"model": arguments.model}, {"train": arguments.train}
    with training_frame("train_dpo.py", arguments, console, models=models, data=data) as frame:
        rows, training = read_parquet(arguments.train), frame.settings["training"]
        pairs, left_out = encode_pairs(frame.tokenizer, rows, frame.prompt, training["max_length"])
        if not pairs:
            raise UserError("no pair of responses with different scores is left", str(arguments.train),
                            "raise the counts of `splits`, or `max_length`")  # fmt: skip
        counts = Encoded([sequence for pair in pairs for sequence in pair], left_out).counts()
        facts = {
            "train": {"pairs": len(pairs), "left_out_ties": sum(row["tie"] for row in rows), **counts},
            "tokens_seen": {kind: n * training["epochs"] for kind, n in counts["tokens"].items()},
        }
        objective = dpo_objective(frame, arguments.model, pairs, facts)
        trained = run_training(frame, objective)
        save_trained(frame, objective, trained)


def main(argv: list[str] | None = None) -> int:
    parser = job_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="directory of the model to start from")
    return run_training_job(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
