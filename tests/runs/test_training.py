"""Training: the engines agree, a resumed run equals an uninterrupted one, and the record says what happened."""

import argparse
import contextlib
import importlib
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from safetensors.torch import load_file

import train_coh
from common.config.methods import METHODS
from common.data.splits import COLUMNS
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file
from common.jobs.console import Console
from common.training import supervised
from common.training.sequences import Encoded
from support.frames import job_frame
from support.training_runs import (
    TRAINING,
    command,
    finish,
    launch,
    losses,
    train,
    wait_for_checkpoint,
    wait_until_said,
)


def test_the_wide_models_are_parted_by_zero3(wide_folders: dict[str, Path]):
    """What is smaller than this threshold stays whole on every process, and would show nothing of ZeRO-3."""
    threshold = DeepSpeedZeroConfig().param_persistence_threshold
    for folder in wide_folders.values():
        weights = load_file(folder / "model.safetensors")
        parted = {name.split(".")[-2] for name, weight in weights.items() if weight.numel() > threshold}
        assert "embed_tokens" in parted
        assert parted & {"up_proj", "fc1"}


# At 1e-3 this OPT, whose first loss is 16, makes 3e-6 of rounding at step 4 into 4e-4 at step 10, on some CPUs.
@pytest.mark.parametrize(("family", "learning_rate"), [("llama", 1e-3), ("opt", 1e-4)])
def test_deepspeed_zero3_on_one_and_two_ranks_agrees_with_torch(
    family: str, learning_rate: float, wide_folders: dict[str, Path], splits: Path, tmp_path: Path
):
    """Two ranks recompute activations and share the nine held-out prompts: five and four, in batches of two."""
    model, training = wide_folders[family], {"learning_rate": learning_rate}
    runs = {}
    for name, engine, processes in [("torch", "torch", 1), ("one", "deepspeed", 1), ("two", "deepspeed", 2)]:
        out, recompute = tmp_path / name, processes == 2
        process = train("coh", model, splits, out, engine, processes, recompute=recompute, training=training)
        runs[name] = finish(process, out)
        assert runs[name]["processes"] == processes
    reference = losses(tmp_path / "torch")
    assert len(reference) == 10
    assert losses(tmp_path / "one") == pytest.approx(reference, abs=1e-4)
    assert losses(tmp_path / "two") == pytest.approx(reference, abs=1e-4)
    for name in ("one", "two"):
        for moment in ("before", "after"):
            expected = runs["torch"]["heldout_loss"][moment]
            assert runs[name]["heldout_loss"][moment] == pytest.approx(expected, abs=1e-4)


def test_a_training_that_diverges_ends_at_once(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    process = train(
        "sft", model_folders["llama"], splits, tmp_path, training={"learning_rate": 1e30, "warmup_ratio": 0}
    )
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2, errors
    assert "the training diverged" in errors + (tmp_path / "log.txt").read_text()
    assert not (tmp_path / "model").exists()


def test_training_lowers_the_loss_and_records_what_it_saw(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    options = {"training": {"epochs": 6, "learning_rate": 3e-3}}
    record = finish(train("sft", model_folders["llama"], splits, tmp_path, **options), tmp_path)
    rows = read_parquet(splits / "sft.parquet")
    assert record["train"]["sequences"] == len(rows) == 37
    assert record["steps"] == 30
    assert record["heldout_loss"]["n"] == 9
    assert record["heldout_loss"]["interval95"][1] < 0
    tokens = record["train"]["tokens"]
    assert tokens["total"] == tokens["prompt"] + tokens["target"]
    assert record["tokens_seen"]["total"] == 6 * tokens["total"]
    assert record["provenance"]["rule"] == "train_sft"
    assert record["provenance"]["hardware"]["kernels"].keys() >= {"blas", "onednn", "deterministic_algorithms"}
    assert not list((tmp_path / "scratch").glob("*/checkpoint-*"))


ABORTS = """
import atexit, os, sys
if "RANK" in os.environ and any("train_sft" in word for word in sys.orig_argv):
    atexit.register(os.abort)
"""


def test_a_rank_that_has_done_its_work_does_not_wait_for_the_end_of_the_interpreter(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "aborts").mkdir()
    (tmp_path / "aborts/sitecustomize.py").write_text(ABORTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "aborts"))
    finish(launch("sft", model_folders["opt"], splits, tmp_path, "deepspeed", 2, training={"epochs": 1}), tmp_path)


def test_deepspeed_compiles_nothing(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    finish(train("sft", model_folders["opt"], splits, tmp_path, "deepspeed", training={"epochs": 1}), tmp_path)
    assert not (tmp_path / "extensions").exists()


def test_a_terminated_run_resumes_bit_for_bit(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    options = {"training": {"epochs": 12}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    finish(train("sft", model_folders["opt"], splits, whole, **options), whole)
    process = train("sft", model_folders["opt"], splits, parts, checkpoint_seconds=1, **options)
    wait_for_checkpoint(process, parts)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "run the same command again to resume" in errors
    assert not (parts / "model").exists()
    record = finish(train("sft", model_folders["opt"], splits, parts, **options), parts)
    assert record["resumed_from_step"] > 0
    assert sha256_of_file(parts / "model/model.safetensors") == sha256_of_file(whole / "model/model.safetensors")
    curves = [pd.read_csv(out / "metrics.csv")[["loss", "num_tokens"]] for out in (parts, whole)]
    pd.testing.assert_frame_equal(*curves)


def test_a_killed_run_resumes_and_a_second_writer_waits(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    options = {"training": {"epochs": 12}}
    first = train("sft", model_folders["llama"], splits, tmp_path, checkpoint_seconds=1, **options)
    wait_for_checkpoint(first, tmp_path)
    os.kill(first.pid, signal.SIGSTOP)
    second = train("sft", model_folders["llama"], splits, tmp_path, **options)
    wait_until_said(second, "waiting: another process still writes here")
    first.kill()
    first.communicate(timeout=60)
    record = finish(second, tmp_path)
    assert record["resumed_from_step"] > 0


def test_a_batch_that_does_not_divide_is_an_error_for_people(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path
):
    options = {"training": {"per_device_batch_size": 3}}
    process = train("sft", model_folders["llama"], splits, tmp_path, **options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "global_batch_size, per_device_batch_size" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("method", ["sft", "coh", "dpo", "reward"])
@pytest.mark.parametrize("cause", ["no prompt", "no room"])
def test_a_training_without_data_is_refused_before_it_begins(
    method: str, cause: str, model_folders: dict[str, Path], splits: Path, tmp_path: Path, capsys
):
    copy = shutil.copytree(splits, tmp_path / "splits")
    split_name = METHODS[method].split
    if cause == "no prompt":
        write_parquet(copy / f"{split_name}.parquet", [], COLUMNS[split_name])
    options = {"training": {"max_length": 3}} if cause == "no room" else {}
    script = importlib.import_module(f"train_{method}")
    assert script.main(command(method, model_folders["llama"], copy, tmp_path, **options)) == 2
    told = capsys.readouterr().err
    assert f"where: {copy / split_name}.parquet" in told
    assert "what to do: raise the counts of `splits`, or `max_length`" in told
    assert "Traceback" not in told


def test_without_heldout_prompts_no_heldout_loss_is_measured(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path
):
    copy = shutil.copytree(splits, tmp_path / "splits")
    write_parquet(copy / "heldout_sft.parquet", [], COLUMNS["sft"])
    record = finish(train("sft", model_folders["llama"], copy, tmp_path, training={"epochs": 1}), tmp_path)
    assert record["heldout_loss"] is None
    assert "no held-out loss is measured" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("loss_on", ["responses", "all"])
def test_the_heldout_loss_is_of_the_objective_that_is_trained(
    loss_on: str, model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = {"training": TRAINING, "heldout_loss": True, "loss_on": loss_on, "ties": "keep", "seed": 5}
    data = {"train": splits / "coh.parquet", "heldout": splits / "heldout_coh.parquet"}
    frame = job_frame(settings, model_folders["llama"], tmp_path, data)
    found: list[Encoded] = []
    monkeypatch.setattr(supervised, "training_frame", lambda *given, **named: contextlib.nullcontext(frame))
    monkeypatch.setattr(supervised, "supervised_objective", lambda *given: found.extend(given[-2:]))
    monkeypatch.setattr(supervised, "run_training", lambda *given: None)
    monkeypatch.setattr(supervised, "save_trained", lambda *given: None)
    train_coh.work(argparse.Namespace(model=model_folders["llama"], **data), Console("test"))
    assert [len(encoded.sequences) for encoded in found] == [37, 9]
    for encoded in found:
        whole = [
            sequence.target_tokens == len(sequence.input_ids) - len(sequence.cut) for sequence in encoded.sequences
        ]
        assert all(whole) if loss_on == "all" else not any(whole)
