"""Fine-tuning of a causal language model on token sequences, shared by every supervised method.

TRL's SFTTrainer does the steps; here are the order of the data, held-out loss, resumable state and the record.
"""

import csv
import io
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from common.batching import GlobalBatchSampler, accumulation_steps, filler_count
from common.checkpoints import mark_complete, newest_complete
from common.console import Console, Progress
from common.engine import Engine, agree, deepspeed_config
from common.errors import Resumable
from common.files import read_json, write_json, write_text
from common.models import load_model
from common.sequences import IGNORED, Encoded, TokenSequence
from common.statistics import bootstrap_interval

METRIC_COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "num_tokens", "seconds")


@dataclass(frozen=True)
class TrainingJob:
    """What a fine-tuning run is given.

    Args:
        model: directory of the model to start from.
        training: the hyper-parameter block of the configuration.
        seed: of the data order and of dropout.
        scratch: directory for resumable state, keyed by all the run depends on.
        checkpoint_seconds: time between two checkpoints.
        gradient_checkpointing: recompute activations in the backward pass.
        offload: what DeepSpeed keeps in CPU memory.
    """

    model: Path
    training: Mapping[str, Any]
    seed: int
    scratch: Path
    checkpoint_seconds: float
    gradient_checkpointing: bool
    offload: str


class SortedBatchTrainer(SFTTrainer):
    """SFTTrainer whose global batches hold the same prompts on any number of devices, sorted by length."""

    def __init__(self, *args: Any, sampler: GlobalBatchSampler, **kwargs: Any):
        self._sampler = sampler
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> GlobalBatchSampler:
        return self._sampler


class JobCallback(TrainerCallback):
    """Progress, checkpoints by time, and an orderly stop on SIGTERM."""

    def __init__(self, engine: Engine, console: Console, seconds: float, on_begin: Callable[[], None]):
        self._engine, self._console, self._seconds, self._on_begin = engine, console, seconds, on_begin
        self._saved = time.monotonic()
        self._progress: Progress | None = None
        self.stop_requested = False
        signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, signum: int, frame: Any) -> None:
        self.stop_requested = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._on_begin()
        if self._engine.is_main:
            self._progress = Progress(self._console, state.max_steps, "steps", state.global_step)
        self._saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if agree(self.stop_requested, self._engine):
            self.stop_requested = control.should_save = control.should_training_stop = True
        elif agree(time.monotonic() - self._saved > self._seconds, self._engine):
            control.should_save = state.global_step < state.max_steps
        if self._progress is not None:
            last = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
            self._progress.update(state.global_step, "" if last is None else f"loss {last:.3f}")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        state.log_history[-1].setdefault("seconds", round(time.time(), 1))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._engine.processes > 1:
            torch.distributed.barrier()
        if self._engine.is_main:
            mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")
            self._console.say(f"saved a checkpoint at step {state.global_step}")
        self._saved = time.monotonic()


def _arguments(job: TrainingJob, engine: Engine) -> SFTConfig:
    """Trainer arguments; TRL's defaults of bf16 and gradient checkpointing are set explicitly."""
    training = job.training
    per_device = training["per_device_batch_size"]
    accumulation = accumulation_steps(training["global_batch_size"], per_device, engine.processes)
    config = deepspeed_config(engine, per_device, accumulation, training["max_grad_norm"], job.offload)
    return SFTConfig(
        output_dir=str(job.scratch),
        num_train_epochs=training["epochs"],
        learning_rate=training["learning_rate"],
        lr_scheduler_type=training["schedule"],
        warmup_steps=training["warmup_ratio"],  # below 1 it is a ratio
        weight_decay=training["weight_decay"],
        adam_beta1=training["betas"][0],
        adam_beta2=training["betas"][1],
        max_grad_norm=training["max_grad_norm"],
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=job.gradient_checkpointing,
        deepspeed=config if engine.deepspeed else None,
        use_cpu=engine.device == "cpu",
        bf16=engine.dtype == torch.bfloat16,
        fp16=engine.dtype == torch.float16,
        seed=job.seed,
        data_seed=job.seed,
        save_strategy="no",
        save_total_limit=2,
        logging_steps=training["log_steps"],
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=engine.device == "cuda",
        max_length=None,
    )


def _dataset(sequences: Sequence[TokenSequence], global_batch: int, eos: int) -> Dataset:
    """Rows for the trainer: the sequences, then fillers without a label."""
    rows = [{"input_ids": s.input_ids, "labels": s.labels} for s in sequences]
    rows += [{"input_ids": [eos, eos], "labels": [IGNORED, IGNORED]}] * filler_count(len(rows), global_batch)
    return Dataset.from_list(rows)


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
            rows = [{"input_ids": sequences[i].input_ids, "labels": sequences[i].labels} for i in chosen]
            inputs = {key: value.to(device) for key, value in collate(rows).items()}
            log_probs = model(**inputs, fused_lm_head=True).log_probs
            targets = (inputs["labels"][:, 1:] != IGNORED).sum(dim=1)
            for i, loss in zip(chosen, (-log_probs.sum(dim=1) / targets).tolist(), strict=True):
                losses[i] = loss
    model.train(was_training)
    return losses


def compare_losses(before: Sequence[float], after: Sequence[float], seed: int) -> dict[str, Any]:
    """Held-out loss before and after training, with a paired bootstrap interval of the difference."""
    difference = np.asarray(after) - np.asarray(before)
    low, high = bootstrap_interval(difference, seed)
    return {
        "n": len(before),
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "difference": float(difference.mean()),
        "interval95": [low, high],
    }


def _metrics_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """The logged steps as CSV; `seconds` counts from the first row of each uninterrupted stretch."""
    rows = [entry for entry in history if "loss" in entry]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, METRIC_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "seconds": round(row["seconds"] - rows[0]["seconds"], 1)})
    return buffer.getvalue()


def fine_tune(
    job: TrainingJob,
    train: Encoded,
    heldout: Encoded | None,
    tokenizer: PreTrainedTokenizerFast,
    engine: Engine,
    console: Console,
    metrics: Path,
) -> tuple[dict[str, Any], Callable[[Path], None]]:
    """Train, resuming from scratch state when there is any.

    Args:
        job: model, hyper-parameters, places.
        train: training sequences.
        heldout: held-out sequences, or None when the configuration holds none out.
        tokenizer: of the model.
        engine: from `start_engine`.
        console: where progress goes.
        metrics: CSV file to write.

    Returns:
        Facts for run.json (steps, tokens, held-out losses, where it resumed), and a function that saves the trained
        weights to a directory, to be called on the main process alone.

    Raises:
        Resumable: on SIGTERM, after a checkpoint.
    """
    arguments = _arguments(job, engine)
    model = load_model(job.model, torch.float32 if not engine.deepspeed else engine.dtype)
    dataset = _dataset(train.sequences, job.training["global_batch_size"], tokenizer.eos_token_id)
    lengths = [len(ids) for ids in dataset["input_ids"]]
    sampler = GlobalBatchSampler(lengths, len(train.sequences), job.training["global_batch_size"], job.seed)

    def heldout_losses() -> list[float]:
        sequences = heldout.sequences if heldout else []
        wrapped = trainer.model_wrapped if engine.deepspeed else trainer.model
        batch = job.training["per_device_batch_size"]
        return sequence_losses(wrapped, sequences, tokenizer.pad_token_id, batch, engine.device)

    before_file = job.scratch / "heldout_before.json"

    def before_training() -> None:
        if heldout and not before_file.exists():
            losses = heldout_losses()
            if engine.is_main:
                write_json(before_file, losses)

    callback = JobCallback(engine, console, job.checkpoint_seconds, before_training)
    trainer = SortedBatchTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id),
        sampler=sampler,
        callbacks=[callback],
    )
    checkpoint = newest_complete(job.scratch, console if engine.is_main else Console("", None))
    if checkpoint is not None and engine.is_main:
        console.say(f"resuming from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stop_requested and trainer.state.global_step < trainer.state.max_steps:
        step, steps = trainer.state.global_step, trainer.state.max_steps
        raise Resumable(f"stopped on request at step {step} of {steps}", str(job.scratch))
    facts: dict[str, Any] = {
        "steps": trainer.state.global_step,
        "resumed_from_step": int(checkpoint.name.split("-")[1]) if checkpoint else 0,
        "processes": engine.processes,
        "engine": "deepspeed-zero3" if engine.deepspeed else "torch",
        "dtype": str(engine.dtype).removeprefix("torch."),
        "train": train.counts(),
        "tokens_seen": {k: v * job.training["epochs"] for k, v in train.counts()["tokens"].items()},
        "heldout_loss": None,
    }
    if heldout:
        after = heldout_losses()
        if engine.is_main:
            facts["heldout_loss"] = compare_losses(read_json(before_file), after, job.seed)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if engine.deepspeed else None
    if engine.is_main:
        write_text(metrics, _metrics_csv(trainer.state.log_history))
    if engine.processes > 1:
        torch.distributed.barrier()
    return facts, lambda directory: model.save_pretrained(directory, state_dict=state)
