"""The frame every fine-tuning script shares: arguments, locks, resumable state, saving and run.json."""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.console import Console, argument_parser
from common.digest import script_digest
from common.engine import start_engine
from common.files import new_directory, sha256_of_file, write_json
from common.models import limit_threads, load_tokenizer, weights_hash
from common.prompts import PromptFormat
from common.provenance import Provenance
from common.rows import read_parquet
from common.scratch import fingerprint, writer_lock
from common.sequences import Response, encode_all
from common.training import TrainingJob, fine_tune

Examples = list[tuple[str, list[Response]]]


def training_parser(doc: str) -> argparse.ArgumentParser:
    """Arguments every fine-tuning script takes."""
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


def train_method(
    script: str,
    arguments: argparse.Namespace,
    console: Console,
    train_examples: Callable[[list[dict[str, Any]], PromptFormat], Examples],
    heldout_examples: Callable[[list[dict[str, Any]], PromptFormat], Examples],
    loss_on: str = "responses",
) -> None:
    """Fine-tune one model by one method.

    Args:
        script: file name of the calling script.
        arguments: from `training_parser`.
        console: where progress goes.
        train_examples: turns rows of the training split into (id, responses).
        heldout_examples: the same for held-out prompts.
        loss_on: see `sequences.encode`.
    """
    limit_threads()
    settings = arguments.settings
    provenance = Provenance(script, settings)
    engine = start_engine(settings["compute"])
    tokenizer = load_tokenizer(arguments.model)
    prompt = PromptFormat.from_settings(settings["prompt"])
    max_length = settings["training"]["max_length"]
    train = encode_all(tokenizer, train_examples(read_parquet(arguments.train), prompt), max_length, loss_on)
    heldout = None
    if settings["heldout_loss"]:
        heldout = encode_all(tokenizer, heldout_examples(read_parquet(arguments.heldout), prompt), max_length)
    inputs = {"train": arguments.train, "heldout": arguments.heldout, "model": arguments.model / "run.json"}
    state = arguments.scratch / fingerprint(
        settings=settings,
        inputs={name: sha256_of_file(path) for name, path in inputs.items() if name != "model"},
        weights=weights_hash(arguments.model),
        code=script_digest(script),
    )
    job = TrainingJob(
        arguments.model, settings["training"], settings["seed"], state, arguments.checkpoint_seconds,
        settings["compute"]["gradient_checkpointing"], arguments.offload,
    )  # fmt: skip

    def run() -> None:
        facts, save_weights = fine_tune(job, train, heldout, tokenizer, engine, console, arguments.metrics)
        if engine.is_main:
            with new_directory(arguments.output) as directory:
                save_weights(directory)
                tokenizer.save_pretrained(directory)
                record = provenance.record(inputs, n=len(train.sequences), seed=settings["seed"])
                facts = {"weights_sha256": weights_hash(directory), **facts, "provenance": record}
                write_json(directory / "run.json", facts)
            shutil.rmtree(state)

    if engine.is_main:
        with writer_lock(arguments.scratch / "writer.lock", console):
            run()
    else:
        run()
