"""Training scripts in processes of their own, started as a rule does."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from common.base.paths import ROOT
from common.config.methods import METHODS
from support.forked import Forked

TRAINING = {
    "epochs": 2, "learning_rate": 1e-3, "global_batch_size": 8, "per_device_batch_size": 2, "schedule": "cosine",
    "warmup_ratio": 0.1, "max_grad_norm": 1, "max_length": 200,
    "weight_decay": 0.0, "betas": [0.9, 0.999], "log_steps": 1,
}  # fmt: skip
PROMPT = {"without_input": "{instruction}\n", "with_input": "{instruction}\nInput: {input}\n"}
MARKERS = {"response": "Response:", "better": "better response:", "worse": "worse response:", "tie": "equal response:"}


def command(method: str, model: Path, splits: Path, out: Path, engine: str = "torch", **options) -> list[str]:
    """The arguments a rule would give; `options` change the hyper-parameters."""
    (model / "run.json").write_text("{}")
    extra: dict = {"sft": {}, "coh": {"loss_on": "responses", "ties": "keep"}, "dpo": {"beta": 0.5},
                   "reward": {"loss": "last_token"}}[method]  # fmt: skip
    settings = {
        "model": "tiny", "method": method, "seed": 5, "prompt": {**PROMPT, "markers": MARKERS}, "heldout_loss": True,
        "training": {**TRAINING, **options.get("training", {})},
        "compute": {"device": "cpu", "engine": engine, "gradient_checkpointing": options.get("recompute", False)},
        **extra,
    }  # fmt: skip
    heldout = METHODS[method].heldout
    return [
        "--settings", json.dumps(settings), "--model", str(model),
        "--train", str(splits / f"{METHODS[method].split}.parquet"),
        *(["--heldout", str(splits / f"{heldout}.parquet")] if heldout else []),
        "--scratch", str(out / "scratch"), "--metrics", str(out / "metrics.csv"), "--output", str(out / "model"),
        "--checkpoint-seconds", str(options.get("checkpoint_seconds", 600)),
        "--stuck-seconds", str(options.get("stuck_seconds", 600)),
    ]  # fmt: skip


def train(method: str, model: Path, splits: Path, out: Path, engine: str = "torch", processes: int = 1, **options):
    """Start a training script without loading its libraries again; for the options see `command`."""
    arguments = [*command(method, model, splits, out, engine, **options), "--log", str(out / "log.txt")]
    return Forked(f"train_{method}", arguments, out, processes)


def launch(method: str, model: Path, splits: Path, out: Path, engine: str = "torch", processes: int = 1, **options):
    """Start a training script as a rule does: with the launcher, from nothing.

    Options beside those of `command` are `prefix`, which runs the launcher, and `stop_lead`, which it is given.
    """
    line = [
        *options.pop("prefix", []), sys.executable, "scripts/launch.py", "--gpus", "0", "--processes", str(processes),
        "--threads", str(processes), "--stop-lead", str(options.pop("stop_lead", 0)), f"scripts/train_{method}.py",
        *command(method, model, splits, out, engine, **options), "--log", str(out / "log.txt"),
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(process: Forked | subprocess.Popen, out: Path) -> dict:
    """Wait for a run that must succeed; its run.json."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors + (out / "log.txt").read_text()[-3000:]
    return json.loads((out / "model/run.json").read_text())


def losses(out: Path) -> list[float]:
    return pd.read_csv(out / "metrics.csv")["loss"].tolist()


def wait_for_checkpoint(process: Forked | subprocess.Popen, out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list((out / "scratch").glob("*/checkpoint-*/complete.json")):
        assert process.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_said(process: Forked, words: str) -> None:
    deadline = time.monotonic() + 120
    while words not in process.errors.read_text(encoding="utf-8"):
        assert process.poll() is None, f"it ended before it said: {words}"
        assert time.monotonic() < deadline
        time.sleep(0.02)
