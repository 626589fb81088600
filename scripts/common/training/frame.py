"""The frame every training script shares, PPO included: arguments, processes, locks and resumable state."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from common.base.checkpoint_times import AUTO
from common.data.prompts import PromptFormat
from common.files.whole_files import sha256_of_file
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.digest import script_digest
from common.jobs.provenance import Provenance
from common.jobs.scratch import fingerprint, writer_lock
from common.models.devices import limit_threads
from common.models.loading import load_tokenizer, weights_hash
from common.training.engine import Engine, start_engine


def training_parser(doc: str) -> argparse.ArgumentParser:
    """Arguments of the scripts that start from one model and measure on held-out examples."""
    parser = job_parser(doc)
    parser.add_argument("--model", type=Path, required=True, help="directory of the model to start from")
    parser.add_argument("--heldout", type=Path, required=True, help="parquet file of held-out examples of the split")
    return parser


def job_parser(doc: str) -> argparse.ArgumentParser:
    """Arguments every training script takes."""
    parser = argument_parser(doc)
    parser.add_argument("--train", type=Path, required=True, help="parquet file of the training split")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for resumable state")
    parser.add_argument("--checkpoint-seconds", type=seconds_or_none, default=600, help="time between two checkpoints")
    parser.add_argument(
        "--stuck-seconds", type=int, default=1800, help="time without a step after which a job is ended"
    )
    parser.add_argument("--offload", default="none", help="what DeepSpeed keeps in CPU memory")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV file of the training curve to write")
    parser.add_argument("--output", type=Path, required=True, help="model directory to write")
    return parser


def run_training_job(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace, Console], None],
    argv: Sequence[str] | None = None,
) -> int:
    """`run_entry_point`; a process that has joined others ends there.

    Gloo's threads may still hold tensors that Python knows. Where one lets go of them while the interpreter ends, the
    process is aborted (https://github.com/pytorch/pytorch/pull/179291), and a job that has done its work would fail.
    """
    code = run_entry_point(parser, work, argv)
    if torch.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def seconds_or_none(text: str) -> int | None:
    """A number of seconds; None where the configuration leaves it to the job."""
    return None if text == AUTO else int(text)


@dataclass(frozen=True)
class Frame:
    """What every training script has at hand before its method begins.

    Attributes:
        settings: this job's part of the configuration.
        engine: what it runs on.
        tokenizer: of the model it starts from.
        prompt: how prompts are written.
        console: where progress goes.
        state: directory for resumable state, keyed by all the run depends on.
        checkpoint_seconds, stuck_seconds: see `CheckpointClock`.
        offload: what DeepSpeed keeps in CPU memory.
        metrics: CSV file of the training curve to write.
        output: model directory to write.
        inputs: files the result depends on, by name.
        provenance: begun with the job.
    """

    settings: dict[str, Any]
    engine: Engine
    tokenizer: PreTrainedTokenizerFast
    prompt: PromptFormat
    console: Console
    state: Path
    checkpoint_seconds: float | None
    stuck_seconds: float
    offload: str
    metrics: Path
    output: Path
    inputs: dict[str, Path]
    provenance: Provenance


def name_other_states(state: Path, console: Console) -> None:
    """Say which directories beside `state` no run of these settings and this code will ever read or delete."""
    for other in sorted(path for path in state.parent.iterdir() if path.is_dir() and path != state):
        size = sum(path.stat().st_size for path in other.rglob("*") if path.is_file())
        left = f"left from other settings or code: {other}, {size / 1e9:.2f} GB"
        console.say(f"{left}; delete it if you do not go back")


@contextmanager
def training_frame(
    script: str, arguments: argparse.Namespace, console: Console, *, models: dict[str, Path], data: dict[str, Path]
) -> Iterator[Frame]:
    """Join the processes of a training job and hold its scratch directory against a second writer.

    Args:
        script: file name of the calling script.
        arguments: from `job_parser`.
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
        settings=settings,
        engine=engine,
        tokenizer=load_tokenizer(next(iter(models.values()))),
        prompt=PromptFormat.from_settings(settings["prompt"]),
        console=console,
        state=state,
        checkpoint_seconds=arguments.checkpoint_seconds,
        stuck_seconds=arguments.stuck_seconds,
        offload=arguments.offload,
        metrics=arguments.metrics,
        output=arguments.output,
        inputs={**data, **{name: path / "run.json" for name, path in models.items()}},
        provenance=provenance,
    )
    if engine.is_main:
        with writer_lock(arguments.scratch / "writer.lock", console):
            name_other_states(state, console)
            yield frame
    else:
        yield frame
