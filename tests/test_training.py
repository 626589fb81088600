"""Training: the engines agree, a resumed run equals an uninterrupted one, and the record says what happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from torch.utils.cpp_extension import _get_build_directory

from common.files import sha256_of_file
from common.instructions import load_instructions
from common.methods import METHODS
from common.rows import read_parquet, write_parquet
from common.splits import COLUMNS, split
from conftest import ROOT

TRAINING = {
    "epochs": 2, "learning_rate": 1e-3, "global_batch_size": 8, "per_device_batch_size": 2, "schedule": "cosine",
    "warmup_ratio": 0.1, "max_grad_norm": 1, "max_length": 200,
    "weight_decay": 0.0, "betas": [0.9, 0.999], "log_steps": 1,
}  # fmt: skip
PROMPT = {"without_input": "{instruction}\n", "with_input": "{instruction}\nInput: {input}\n"}
MARKERS = {"response": "Response:", "better": "better response:", "worse": "worse response:", "tie": "equal response:"}


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of 45 demo prompts: 37 to train on, so that the last global batch is not full."""
    folder = tmp_path_factory.mktemp("splits")
    demo = ROOT / "resources/demo/instructions"
    rows = load_instructions(demo / "alpaca_gpt4_data.json", demo / "comparison_data_v2.json", 0.0).rows
    settings = {"prompts": 45, "heldout": 8, "rl_sft": 10, "rl_reward": 10, "rl_prompts": 10,
                "fine_tune_on_heldout": False, "ties": "keep", "pairs": "all_distinct"}  # fmt: skip
    for name, part in split(rows, settings, seed=1).items():
        write_parquet(folder / f"{name}.parquet", part, COLUMNS[name])
    return folder


def train(method: str, model: Path, splits: Path, out: Path, engine: str = "torch", processes: int = 1, **options):
    """Start a training script as a rule does; `options` change the hyper-parameters."""
    (model / "run.json").write_text("{}")
    extra = {"sft": {}, "coh": {"loss_on": "responses", "ties": "keep"}, "dpo": {"beta": 0.5}}[method]
    settings = {
        "model": "tiny", "method": method, "seed": 5, "prompt": {**PROMPT, "markers": MARKERS}, "heldout_loss": True,
        "training": {**TRAINING, **options.pop("training", {})},
        "compute": {"device": "cpu", "engine": engine, "gradient_checkpointing": False}, **extra,
    }  # fmt: skip
    command = [
        *options.pop("prefix", []), sys.executable, "scripts/launch.py", "--gpus", "0", "--processes", str(processes),
        "--threads", str(processes), "--stop-lead", str(options.pop("stop_lead", 0)),
        f"scripts/train_{method}.py", "--settings", json.dumps(settings), "--model", str(model),
        "--train", str(splits / f"{METHODS[method].split}.parquet"), "--heldout", str(splits / "heldout.parquet"),
        "--scratch", str(out / "scratch"), "--metrics", str(out / "metrics.csv"), "--output", str(out / "model"),
        "--checkpoint-seconds", str(options.pop("checkpoint_seconds", 600)), "--log", str(out / "log.txt"),
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, out: Path) -> dict:
    """Wait for a run that must succeed; its run.json."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors + (out / "log.txt").read_text()[-3000:]
    return json.loads((out / "model/run.json").read_text())


def losses(out: Path) -> list[float]:
    return pd.read_csv(out / "metrics.csv")["loss"].tolist()


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_deepspeed_zero3_on_one_and_two_ranks_agrees_with_torch(
    family: str, model_folders: dict[str, Path], splits: Path, tmp_path: Path
):
    runs = {}
    for name, engine, processes in [("torch", "torch", 1), ("one", "deepspeed", 1), ("two", "deepspeed", 2)]:
        out = tmp_path / name
        runs[name] = finish(train("coh", model_folders[family], splits, out, engine, processes), out)
        assert runs[name]["processes"] == processes
    reference = losses(tmp_path / "torch")
    assert len(reference) == 10
    assert losses(tmp_path / "one") == pytest.approx(reference, abs=1e-4)
    assert losses(tmp_path / "two") == pytest.approx(reference, abs=1e-4)
    for name in ("one", "two"):
        for moment in ("before", "after"):
            expected = runs["torch"]["heldout_loss"][moment]
            assert runs[name]["heldout_loss"][moment] == pytest.approx(expected, abs=1e-4)


def test_training_lowers_the_loss_and_records_what_it_saw(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    options = {"training": {"epochs": 6, "learning_rate": 3e-3}}
    record = finish(train("sft", model_folders["llama"], splits, tmp_path, **options), tmp_path)
    rows = read_parquet(splits / "sft.parquet")
    assert record["train"]["sequences"] == len(rows) == 37
    assert record["steps"] == 30
    assert record["heldout_loss"]["n"] == 8
    assert record["heldout_loss"]["interval95"][1] < 0
    tokens = record["train"]["tokens"]
    assert tokens["total"] == tokens["prompt"] + tokens["target"]
    assert record["tokens_seen"]["total"] == 6 * tokens["total"]
    assert record["provenance"]["rule"] == "train_sft"
    assert record["provenance"]["hardware"]["kernels"].keys() >= {"blas", "onednn", "deterministic_algorithms"}
    assert not list((tmp_path / "scratch").glob("*/checkpoint-*"))


def test_a_lock_that_a_killed_compilation_left_stops_nobody(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    compiled = Path(_get_build_directory("deepspeed_shm_comm", verbose=False))
    left_over = shutil.copytree(compiled, tmp_path / "extensions" / compiled.name)
    (left_over / "lock").touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(left_over.parent))
    finish(train("sft", model_folders["opt"], splits, tmp_path, "deepspeed", 2, training={"epochs": 1}), tmp_path)


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


def wait_for_checkpoint(process: subprocess.Popen, out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list((out / "scratch").glob("*/checkpoint-*/complete.json")):
        assert process.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_run_resumes_and_a_second_writer_waits(model_folders: dict[str, Path], splits: Path, tmp_path: Path):
    options = {"training": {"epochs": 12}}
    first = train("sft", model_folders["llama"], splits, tmp_path, checkpoint_seconds=1, **options)
    wait_for_checkpoint(first, tmp_path)
    os.kill(first.pid, signal.SIGSTOP)
    second = train("sft", model_folders["llama"], splits, tmp_path, **options)
    assert "waiting: another process still writes here" in read_until(second, "waiting")
    first.kill()
    first.communicate()
    record = finish(second, tmp_path)
    assert record["resumed_from_step"] > 0


def read_until(process: subprocess.Popen, word: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"{word} was never said")


def test_a_batch_that_does_not_divide_is_an_error_for_people(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path
):
    options = {"training": {"per_device_batch_size": 3}}
    process = train("sft", model_folders["llama"], splits, tmp_path, **options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "global_batch_size, per_device_batch_size" in errors
    assert "Traceback" not in errors
