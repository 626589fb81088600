"""The frame every training script shares: arguments, locks, resumable state, saving and run.json."""

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from common.console import Console, argument_parser
from common.digest import script_digest
from common.engine import Engine, start_engine
from common.files import new_directory, sha256_of_file, write_record
from common.models import limit_threads, load_tokenizer, weights_hash
from common.prompts import PromptFormat
from common.provenance import Provenance
from common.reload import Probe, check_saved
from common.rows import read_parquet
from common.scratch import fingerprint, writer_lock
from common.sequences import Response, encode_all
from common.supervised import supervised_objective
from common.training import Objective, TrainingJob, run_training

Examples = list[tuple[str, list[Response]]]
Rows = list[dict[str, Any]]


def training_parser(doc: str) -> argparse.ArgumentParser:
    """Arguments every training script takes."""
    parser = argument_parser(doc)
    parser.add_argument("--model", type=Path, required=True, help="directory of the model to start from")
    parser.add_argument("--train", type=Path, required=True, help="parquet file of the training split")
    parser.add_argument("--heldout", type=Path, required=True, help="parquet file of the held-out prompts")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for resumable state")
    parser.add_argument("--checkpoint-seconds", type=int, default=600, help="time between two checkpoints")
    parser.add_argument("--offload", default="none", help="what DeepSpeed keeps in CPU memory")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV file of the training curve to write")
    parser.add_argument("--output", type=Path, required=True, help="model directory to write")
    return parser


@dataclass(frozen=True)
class Frame:
    """What every training script has at hand before its method begins.

    Attributes:
        settings: this job's part of the configuration.
        engine: what it runs on.
        tokenizer: of the model it starts from.
        prompt: how prompts are written.
        state: directory for resumable state, keyed by all the run depends on.
        provenance: begun with the job.
        inputs: files the result depends on, by name.
        output: model directory to write.
    """

    settings: dict[str, Any]
    engine: Engine
    tokenizer: PreTrainedTokenizerFast
    prompt: PromptFormat
    state: Path
    provenance: Provenance
    inputs: dict[str, Path]
    output: Path

    def save(
        self, facts: dict[str, Any], weights: Callable[[Path], None], probe: Probe, ids: Sequence[int], expected: float
    ) -> None:
        """Write the model directory, check it in a fresh process, and forget the resumable state.

        Args:
            facts: for run.json.
            weights: writes the weights into a directory.
            probe: how the model is checked.
            ids: tokens of that check.
            expected: what the trained model answers to them.
        """
        with new_directory(self.output) as directory:
            weights(directory)
            self.tokenizer.save_pretrained(directory)
            check_saved(directory, probe, ids, expected, self.engine.dtype)
            record = self.provenance.record(self.inputs, seed=self.settings["seed"])
            write_record(
                directory / "run.json", {"weights_sha256": weights_hash(directory), **facts, "provenance": record}
            )
        shutil.rmtree(self.state, ignore_errors=True)


@contextmanager
def training_frame(
    script: str, arguments: argparse.Namespace, console: Console, models: dict[str, Path], data: dict[str, Path]
) -> Iterator[Frame]:
    """Join the processes of a training job and hold its scratch directory against a second writer.

    Args:
        script: file name of the calling script.
        arguments: with settings, scratch and output.
        console: where a wait for the lock is told.
        models: model directories the job reads; the tokenizer is that of the first.
        data: files the job reads.
    """
    limit_threads()
    settings = arguments.settings
    provenance = Provenance(script, settings)
    engine = start_engine(settings["compute"])
    state = arguments.scratch / fingerprint(
        settings=settings,
        inputs={name: sha256_of_file(path) for name, path in data.items()},
        weights={name: weights_hash(directory) for name, directory in models.items()},
        code=script_digest(script),
        engine=engine.facts(),
    )
    frame = Frame(
        settings, engine, load_tokenizer(next(iter(models.values()))), PromptFormat.from_settings(settings["prompt"]),
        state, provenance, {**data, **{name: path / "run.json" for name, path in models.items()}}, arguments.output,
    )  # fmt: skip
    if engine.is_main:
        with writer_lock(arguments.scratch / "writer.lock", console):
            yield frame
    else:
        yield frame


def train_objective(
    script: str,
    arguments: argparse.Namespace,
    console: Console,
    prepare: Callable[[Frame, Rows, Rows], Objective],
) -> None:
    """Train one model by one of TRL's trainers.

    Args:
        script: file name of the calling script.
        arguments: from `training_parser`.
        console: where progress goes.
        prepare: turns the training and held-out rows into what is optimised.
    """
    data = {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame(script, arguments, console, {"model": arguments.model}, data) as frame:
        settings, engine = frame.settings, frame.engine
        objective = prepare(frame, read_parquet(arguments.train), read_parquet(arguments.heldout))
        job = TrainingJob(
            settings["training"], settings["seed"], frame.state, arguments.checkpoint_seconds,
            settings["compute"]["gradient_checkpointing"], arguments.offload,
        )  # fmt: skip
        trained = run_training(job, objective, frame.tokenizer, engine, console, arguments.metrics)
        expected = objective.probe.trained(trained.wrapped, objective.probe_ids, engine.device)
        if engine.is_main:
            frame.save(trained.facts, trained.save, objective.probe, objective.probe_ids, expected)


def train_supervised(
    script: str,
    arguments: argparse.Namespace,
    console: Console,
    train_examples: Callable[[Rows, PromptFormat], Examples],
    heldout_examples: Callable[[Rows, PromptFormat], Examples],
    loss_on: str = "responses",
) -> None:
    """Fine-tune one model on responses.

    Args:
        script: file name of the calling script.
        arguments: from `training_parser`.
        console: where progress goes.
        train_examples: turns rows of the training split into (id, responses).
        heldout_examples: the same for held-out prompts.
        loss_on: see `sequences.encode`.
    """

    def prepare(frame: Frame, train: Rows, heldout: Rows) -> Objective:
        settings, tokenizer = frame.settings, frame.tokenizer
        max_length = settings["training"]["max_length"]
        encoded = encode_all(tokenizer, train_examples(train, frame.prompt), max_length, loss_on)
        unseen = None
        if settings["heldout_loss"]:
            unseen = encode_all(tokenizer, heldout_examples(heldout, frame.prompt), max_length)
        return supervised_objective(settings, arguments.model, tokenizer, frame.engine.device, encoded, unseen)

    train_objective(script, arguments, console, prepare)
