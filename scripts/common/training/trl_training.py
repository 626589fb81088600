"""Training by TRL's trainers, shared by every method they train.

The trainer does the steps; here are the order of the data, held-out values, resumable state and the record.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from common.base.batch_sizes import Deal, accumulation_steps, deal_out
from common.base.errors import UserError
from common.files.csv_files import records_to_csv
from common.files.whole_files import read_json, write_json, write_text
from common.jobs.console import Progress
from common.models.saved_check import Probe
from common.stats.intervals import bootstrap_interval
from common.training.checkpoints import PARTIAL, CheckpointClock, commit, find_resume, step_of
from common.training.data_order import MicroBatchLoader, MicroBatchSampler, filler_count
from common.training.engine import deepspeed_config, from_main, wait_for_all
from common.training.frame import Frame
from common.training.fused_head import skip_unlabelled_positions
from common.training.onednn_linear import multiply_by_onednn
from common.training.saving import save_model

METRIC_COLUMNS = ("step", "epoch", "loss", "accuracy", "learning_rate", "grad_norm", "num_tokens", "seconds")


class OrderedTrainer:
    """What our trainers add to TRL's: the sampler's micro-batches, and a count of tokens that outlives an interruption.

    TRL's count is kept in the trainer's state, where a resumed run finds it.
    """

    args: TrainingArguments
    state: TrainerState
    train_dataset: Dataset
    data_collator: Any

    def __init__(self, *args: Any, sampler: MicroBatchSampler, **kwargs: Any):
        self._sampler = sampler
        skip_unlabelled_positions()
        super().__init__(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As part of a checkpoint under ZeRO-3, save nothing: each process writes its share of the weights there."""
        if not (_internal_call and self.args.deepspeed):
            super().save_model(output_dir, _internal_call)  # type: ignore[misc]

    def get_train_dataloader(self) -> MicroBatchLoader:
        pin_memory = self.args.dataloader_pin_memory
        return MicroBatchLoader(self.train_dataset, self._sampler, self.data_collator, pin_memory)

    @property
    def _total_train_tokens(self) -> int:
        return self.state.num_input_tokens_seen

    @_total_train_tokens.setter
    def _total_train_tokens(self, count: int) -> None:
        self.state.num_input_tokens_seen = count


@dataclass(frozen=True)
class Objective:
    """What a method optimises, in the terms every run shares.

    Attributes:
        arguments_class: class of the trainer's arguments.
        load: loads the model; called when the arguments exist, so that ZeRO-3 partitions the weights as they come.
        trainer: builds the trainer from model, args, train_dataset, processing_class, sampler and callbacks.
        rows: examples as the trainer's collator wants them.
        filler: a row that adds nothing to the loss; such rows complete an epoch's last global batch.
        length: tokens of a row.
        probe: how the saved model is checked.
        probe_ids: tokens of that check.
        measure: one value for each held-out example, given the (wrapped) model; None when none are held out.
        facts: what run.json says of the data.
        summary: what run.json says of the held-out values before and after training.
        deal: how a global batch is parted into micro-batches.
    """

    arguments_class: Callable[..., TrainingArguments]
    load: Callable[[torch.dtype], PreTrainedModel]
    trainer: Callable[..., Trainer]
    rows: Sequence[Mapping[str, Any]]
    filler: Mapping[str, Any]
    length: Callable[[Mapping[str, Any]], int]
    probe: Probe
    probe_ids: Sequence[int]
    measure: Callable[[Any], list[float]] | None
    facts: Mapping[str, Any]
    summary: Callable[[list[float], list[float]], dict[str, Any]]
    deal: Deal = deal_out


@dataclass(frozen=True)
class Trained:
    """A finished run: facts for run.json, and the wrapped model with the gathered weights, None meaning its own."""

    facts: dict[str, Any]
    model: PreTrainedModel
    wrapped: Any
    state: dict[str, torch.Tensor] | None

    def save(self, directory: Path) -> None:
        """Write the weights; to be called on the main process alone."""
        self.model.save_pretrained(directory, state_dict=self.state)


class JobCallback(TrainerCallback):
    """Progress, checkpoints by time, and an orderly stop on SIGTERM."""

    def __init__(self, frame: Frame, on_begin: Callable[[], None]):
        self._engine, self._console, self._on_begin = frame.engine, frame.console, on_begin
        self.clock = CheckpointClock(frame.engine, frame.console, frame.checkpoint_seconds, frame.stuck_seconds)
        self._progress: Progress | None = None
        self.stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._on_begin()
        if self._engine.is_main:
            self._progress = Progress(self._console, state.max_steps, "steps", state.global_step)
        self.clock.begin()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.clock.stop_requested():
            self.stopped = control.should_save = control.should_training_stop = True
        elif self.clock.due():
            control.should_save = state.global_step < state.max_steps
        if self._progress is not None:
            last = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
            self._progress.update(state.global_step, "" if last is None else f"loss {last:.3f}")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        entry = state.log_history[-1]
        entry.setdefault("seconds", round(time.time(), 1))
        names = ("loss",) if args.fp16 else ("loss", "grad_norm")  # fp16 passes over steps whose gradients overflow
        if broken := [name for name in names if not math.isfinite(entry.get(name, 0.0))]:
            what = f"the training diverged: {broken[0]} is {entry[broken[0]]}"
            raise UserError(what, f"step {state.global_step}", "lower the learning rate, or look at the data it read")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        commit(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._engine)
        if self._engine.is_main:
            self._console.say(f"saved a checkpoint at step {state.global_step}")
        self.clock.saved()


def _arguments(frame: Frame, arguments_class: Callable[..., TrainingArguments]) -> Any:
    """Trainer arguments; TRL's defaults of bf16 and gradient checkpointing are set explicitly."""
    training, engine, seed = frame.settings["training"], frame.engine, frame.settings["seed"]
    per_device = training["per_device_batch_size"]
    accumulation = accumulation_steps(training["global_batch_size"], per_device, engine.processes)
    config = deepspeed_config(
        engine,
        per_device=per_device,
        accumulation=accumulation,
        max_grad_norm=training["max_grad_norm"],
        offload=frame.offload,
    )
    return arguments_class(
        output_dir=str(frame.state / PARTIAL),
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
        gradient_checkpointing=frame.settings["compute"]["gradient_checkpointing"],
        deepspeed=config if engine.deepspeed else None,
        use_cpu=engine.device == "cpu",
        bf16=engine.dtype == torch.bfloat16,
        fp16=engine.dtype == torch.float16,
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        logging_first_step=True,  # a run may be shorter than `log_steps`
        logging_steps=training["log_steps"],
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=engine.device == "cuda",
        max_length=None,
    )


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
    """The logged steps as CSV; `seconds` is the time since the first row, interruptions included."""
    rows = [entry for entry in history if "loss" in entry]
    columns = [name for name in METRIC_COLUMNS if any(name in row for row in rows)]
    timed = [{**row, "seconds": round(row["seconds"] - rows[0]["seconds"], 1)} for row in rows]
    return records_to_csv(columns, timed)


def run_training(frame: Frame, objective: Objective) -> Trained:
    """Train, resuming from scratch state when there is any.

    Args:
        frame: hyper-parameters, engine and places of the job.
        objective: model, data and trainer of the method.

    Raises:
        Resumable: on SIGTERM, after a checkpoint.
    """
    engine, console, scratch = frame.engine, frame.console, frame.state
    arguments = _arguments(frame, objective.arguments_class)
    checkpoint = find_resume(scratch, engine, console)
    model = objective.load(engine.dtype)
    multiply_by_onednn(model, engine)
    training = frame.settings["training"]
    global_batch = training["global_batch_size"]
    rows = [*objective.rows, *[objective.filler] * filler_count(len(objective.rows), global_batch)]
    sampler = MicroBatchSampler(
        [objective.length(row) for row in objective.rows], global_batch=global_batch,
        per_device=training["per_device_batch_size"], seed=frame.settings["seed"], share=engine.share,
        deal=objective.deal,
    )  # fmt: skip
    before_file = scratch / "heldout_before.json"

    def wrapped() -> Any:
        return trainer.model_wrapped if engine.deepspeed else trainer.model

    def before_training() -> None:
        if objective.measure and not from_main(before_file.exists(), engine):
            values = objective.measure(wrapped())
            if engine.is_main:
                write_json(before_file, values)

    callback = JobCallback(frame, before_training)
    trainer = objective.trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([dict(row) for row in rows]),
        processing_class=frame.tokenizer,
        sampler=sampler,
        callbacks=[callback],
    )
    with callback.clock.watched():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stopped and trainer.state.global_step < trainer.state.max_steps:
        raise callback.clock.stopped(trainer.state.global_step, trainer.state.max_steps, scratch)
    facts: dict[str, Any] = {
        "steps": trainer.state.global_step,
        "resumed_from_step": step_of(checkpoint) if checkpoint else 0,
        **engine.facts(),
        **objective.facts,
        "heldout_loss": None,
    }
    if objective.measure:
        after = objective.measure(wrapped())
        if engine.is_main:
            facts |= objective.summary(read_json(before_file), after)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if engine.deepspeed else None
    if engine.is_main:
        write_text(frame.metrics, _metrics_csv(trainer.state.log_history))
    wait_for_all(engine)
    return Trained(facts, model, wrapped(), state)


def save_trained(frame: Frame, objective: Objective, trained: Trained) -> None:
    """Write and check the trained model; every process of the run calls this."""
    expected = objective.probe.trained(trained.wrapped, objective.probe_ids, frame.engine.device)
    if frame.engine.is_main:
        probe, ids = objective.probe, objective.probe_ids
        save_model(frame, trained.facts, weights=trained.save, probe=probe, ids=ids, expected=expected)
    wait_for_all(frame.engine)  # launchers whose processes have ended wait for the other nodes some minutes only
