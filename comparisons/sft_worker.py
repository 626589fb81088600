"""One side of comparisons/sft.py: trains some steps and prints real tokens per second and per-example losses."""

import argparse
import contextlib
import itertools
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer, pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from workers import SFT_MODES

from common.data.prompts import PromptFormat
from common.models.devices import limit_threads
from common.models.loading import load_model, load_tokenizer
from common.models.sorted_batches import ALONE
from common.training.data_order import MicroBatchSampler
from common.training.sequences import IGNORED, TokenSequence, encode_all, sft_responses
from common.training.supervised import SortedBatchTrainer, sequence_losses

GLOBAL_BATCH, MICRO_BATCH, MAX_LENGTH = 128, 8, 512
PADDED_MICRO_BATCHES = 6


class Clock(TrainerCallback):
    """The moment each micro-batch was done, its optimizer step included where one followed."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments.append(time.perf_counter())


class EnoughMeasuredError(Exception):
    """Leaves the training loop."""


class StopAfter(TrainerCallback):
    """Ends training after some micro-batches, for a collator whose micro-batches all cost the same."""

    def __init__(self, micro_batches: int):
        self.left = micro_batches

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.left -= 1
        if not self.left:
            raise EnoughMeasuredError


class PadTo512(DataCollatorForLanguageModeling):
    """Every example padded to the longest length allowed."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().torch_call(examples)
        fill = {"input_ids": self.pad_token_id, "labels": IGNORED, "attention_mask": 0}
        return {
            key: torch.nn.functional.pad(value, (0, MAX_LENGTH - value.shape[1]), value=fill[key])
            for key, value in batch.items()
        }


class TokenCounter:
    """Counts the real tokens of the micro-batches a collator makes."""

    def __init__(self, collate: Any):
        self.collate = collate
        self.tokens: list[int] = []

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        self.tokens.append(sum(len(example["input_ids"]) for example in examples))
        return self.collate(examples)


@torch.no_grad()
def packed_losses(model: Any, sequences: list[TokenSequence]) -> list[float]:
    """Mean loss of each sequence's labels where all stand in one row, as TRL's collator packs them."""
    row = [{"input_ids": s.input_ids, "labels": s.labels} for s in sequences]
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(row)
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits[0]
    ends = batch["cu_seq_lens_q"].tolist()
    return [
        float(torch.nn.functional.cross_entropy(logits[start : end - 1], batch["labels"][0, start + 1 : end]))
        for start, end in itertools.pairwise(ends)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=SFT_MODES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(options.mode, options.data, options.model, options.steps)
    print(json.dumps(result))
    return 0


def measure(mode: str, data: Path, model_folder: Path, steps: int) -> dict[str, Any]:
    limit_threads()
    tokenizer = load_tokenizer(model_folder)
    prompt = PromptFormat("{instruction}\n", "{instruction}\nInput: {input}\n", {"response": "Response:"})
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    examples = [(str(i), sft_responses({**row, "response": row["best"]}, prompt)) for i, row in enumerate(rows)]
    sequences = encode_all(tokenizer, examples, MAX_LENGTH).sequences[: steps * GLOBAL_BATCH]
    if len(sequences) < steps * GLOBAL_BATCH:
        raise SystemExit(f"{data} has {len(sequences)} examples, {steps} steps need {steps * GLOBAL_BATCH}")
    lengths = [len(s.input_ids) for s in sequences]
    dataset = Dataset.from_list([{"input_ids": s.input_ids, "labels": s.labels} for s in sequences])
    packed = mode == "trl_packed"
    if packed:
        dataset = pack_dataset(dataset, MAX_LENGTH, "bfd")
    rows_at_once = 1 if packed else MICRO_BATCH
    model = load_model(model_folder, torch.float32)
    losses = packed_losses(model, sequences[:16]) if packed else None
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(), max_steps=steps, learning_rate=1e-5, use_cpu=True, bf16=False,
        gradient_checkpointing=False, per_device_train_batch_size=rows_at_once,
        gradient_accumulation_steps=math.ceil(len(dataset) / steps / rows_at_once),
        max_length=MAX_LENGTH if packed else None, packing=packed, save_strategy="no",
        train_sampling_strategy="group_by_length" if mode == "trl_grouped" else "random",
        report_to="none", disable_tqdm=True, dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False, dataloader_pin_memory=False, logging_steps=1, seed=1,
    )  # fmt: skip
    clock = Clock()
    common: dict[str, Any] = {
        "model": model, "args": arguments, "train_dataset": dataset, "processing_class": tokenizer,
        "callbacks": [clock],
    }  # fmt: skip
    if mode == "ours":
        trainer: SFTTrainer = SortedBatchTrainer(
            sampler=MicroBatchSampler(lengths, global_batch=GLOBAL_BATCH, per_device=MICRO_BATCH, seed=1, share=ALONE),
            **common,
        )
    else:
        trainer = SFTTrainer(**common)
    if mode == "pad_512":
        trainer.data_collator = PadTo512(pad_token_id=tokenizer.pad_token_id)
    trainer.data_collator = counter = TokenCounter(trainer.data_collator)
    if losses is None:
        batch = 1 if mode == "trl" else MICRO_BATCH
        losses = sequence_losses(trainer.model, sequences[:16], pad=tokenizer.pad_token_id, batch=batch, device="cpu")
    if mode == "pad_512":
        trainer.add_callback(StopAfter(PADDED_MICRO_BATCHES))
    with contextlib.suppress(EnoughMeasuredError):
        trainer.train()
    # The first micro-batch warms up and is not counted.
    timed, seconds = len(clock.moments) - 1, clock.moments[-1] - clock.moments[0]
    if mode == "pad_512":
        tokens = round(timed * MICRO_BATCH * sum(lengths) / len(lengths))
    else:
        tokens = sum(counter.tokens[1 : timed + 1])
    speed = round(tokens / seconds, 2)
    return {"mode": mode, "tokens_per_second": speed, "tokens": tokens, "seconds": round(seconds, 1), "losses": losses}


if __name__ == "__main__":
    sys.exit(main())
