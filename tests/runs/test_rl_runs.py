"""Whole runs of train_ppo and train_reward: the engines agree, an interrupted run equals an uninterrupted one."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from common.data.splits import COLUMNS
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file
from common.models.loading import load_tokenizer
from common.models.ways import CONFIG_KEY, GENERATE, SHARED_PREFIX
from common.training.reward import initial_reward_model
from support.forked import Forked
from support.ppo_settings import PPO, TIMES
from support.split_files import write_splits

PROMPT = {"without_input": "{instruction}\n", "with_input": "{instruction}\nInput: {input}\n"}
TRAINING = {
    "epochs": 4, "learning_rate": 1e-3, "global_batch_size": 8, "per_device_batch_size": 2, "schedule": "cosine",
    "warmup_ratio": 0.1, "max_grad_norm": 1, "max_length": 200, "weight_decay": 0.0, "betas": [0.9, 0.999],
    "log_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_inputs(model_folders["llama"], tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def wide_inputs(wide_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_inputs(wide_folders["llama"], tmp_path_factory.mktemp("inputs"))


def make_inputs(model: Path, folder: Path) -> dict[str, Path]:
    """An actor, a reward model and demo prompts whose number does not fill the last global batch."""
    shutil.copytree(model, folder / "actor")
    initial_reward_model(folder / "actor", folder / "reward", seed=1)
    load_tokenizer(folder / "actor").save_pretrained(folder / "reward")
    for name in ("actor", "reward"):
        (folder / name / "run.json").write_text("{}")
    settings = {"prompts": 60, "heldout": 6, "rl_sft": 1, "rl_reward": 8, "rl_prompts": 29,
                "fine_tune_on_heldout": False, "ties": "keep", "pairs": "all_distinct"}  # fmt: skip
    parts = write_splits(folder, settings, seed=1)
    assert len(parts["rl_reward"]) % 8
    return {path.stem: path for path in folder.iterdir()}


def command(
    script: str, inputs: dict[str, Path], out: Path, engine: str, checkpoint_seconds: int = 600,
    recompute: bool = False, epochs: int | None = None, per_device: int = 2,
) -> list[str]:  # fmt: skip
    """The arguments a rule would give; `recompute` switches gradient checkpointing on."""
    settings: dict[str, Any] = {
        "model": "tiny", "seed": 5, "prompt": {**PROMPT, "markers": {"response": "Response:"}},
        "compute": {"device": "cpu", "engine": engine, "gradient_checkpointing": recompute},
    }  # fmt: skip
    if script == "train_ppo":
        block = {"epochs": epochs or 3, "global_batch_size": 8, "per_device_batch_size": per_device,
                 "updates_per_rollout": 2, "schedule": "cosine", "warmup_ratio": 0.1, "max_prompt_length": 100,
                 "max_new_tokens": 12, "actor_learning_rate": 1e-3, "critic_learning_rate": 2e-3}  # fmt: skip
        settings |= {"method": "ppo", "ppo": {**PPO, **block}}
        models = ["--actor", str(inputs["actor"]), "--reward", str(inputs["reward"])]
        data = ["--train", str(inputs["rl_prompts"])]
    else:
        settings |= {
            "method": "reward",
            "training": {**TRAINING, "epochs": epochs or 4},
            "loss": "last_token",
        }
        models = ["--model", str(inputs["actor"])]
        data = ["--train", str(inputs["rl_reward"]), "--heldout", str(inputs["heldout_rl_reward"])]
    return [
        "--settings", json.dumps(settings), *models, *data, "--scratch", str(out / "scratch"),
        "--metrics", str(out / "metrics.csv"), "--output", str(out / "model"), "--log", str(out / "log.txt"),
        "--checkpoint-seconds", str(checkpoint_seconds),
    ]  # fmt: skip


def start(
    script: str,
    inputs: dict[str, Path],
    out: Path,
    engine: str,
    processes: int = 1,
    checkpoint_seconds: int = 600,
    recompute: bool = False,
    epochs: int | None = None,
    per_device: int = 2,
) -> Forked:
    arguments = command(script, inputs, out, engine, checkpoint_seconds, recompute, epochs, per_device)
    return Forked(script, arguments, out, processes)


def finish(process: Forked, out: Path, code: int = 0) -> None:
    process.communicate(timeout=500)
    assert process.returncode == code, (out / "log.txt").read_text()[-3000:]


def wait_for_new_checkpoint(process: Forked, out: Path) -> None:
    """Until one is there that was not when this was called."""
    known, deadline = set(out.glob("scratch/*/checkpoint-*/complete.json")), time.monotonic() + 120
    while not set(out.glob("scratch/*/checkpoint-*/complete.json")) - known:
        assert process.poll() is None, "the run ended before its next checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def interrupted(script: str, inputs: dict[str, Path], out: Path, engine: str, kill: bool) -> None:
    """A run that is killed, if so wished, then one that is asked to stop, then one that ends."""
    if kill:
        process = start(script, inputs, out, engine, checkpoint_seconds=0)
        wait_for_new_checkpoint(process, out)
        process.kill()
        finish(process, out, -signal.SIGKILL)
    process = start(script, inputs, out, engine, checkpoint_seconds=0)
    wait_for_new_checkpoint(process, out)
    process.send_signal(signal.SIGTERM)
    finish(process, out, 75)
    assert "run the same command again to resume" in (out / "log.txt").read_text()
    assert not (out / "model").exists()
    finish(start(script, inputs, out, engine), out)
    assert json.loads((out / "model/run.json").read_text())["resumed_from_step"] > 0
    assert not list(out.glob("scratch/*/checkpoint-*"))


def curve(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "metrics.csv").drop(columns=TIMES, errors="ignore")


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model/model.safetensors")


@pytest.fixture(scope="module", params=["train_ppo", "train_reward"])
def script(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def whole(script: str, inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run on plain torch."""
    out = tmp_path_factory.mktemp(script)
    finish(start(script, inputs, out, "torch"), out)
    assert json.loads((out / "model/run.json").read_text())["resumed_from_step"] == 0
    return out


def test_a_killed_and_a_terminated_run_resume_bit_for_bit(script, inputs, whole: Path, tmp_path: Path):
    interrupted(script, inputs, tmp_path, "torch", kill=True)
    assert sha256_of_file(tmp_path / "model/model.safetensors") == sha256_of_file(whole / "model/model.safetensors")
    pd.testing.assert_frame_equal(curve(tmp_path), curve(whole), check_exact=True)


def test_deepspeed_zero3_on_one_rank_resumes_and_agrees_with_torch(script, inputs, whole, tmp_path: Path):
    interrupted(script, inputs, tmp_path, "deepspeed", kill=False)
    compare_engines(tmp_path, whole, processes=1)


def test_deepspeed_zero3_on_two_ranks_agrees_with_torch(script, inputs, whole: Path, tmp_path: Path):
    finish(start(script, inputs, tmp_path, "deepspeed", processes=2), tmp_path)
    compare_engines(tmp_path, whole, processes=2)


def test_parted_weights_and_recomputed_activations_agree_with_torch(script, wide_inputs, tmp_path: Path):
    """ZeRO-3 leaves the small models' weights whole; these it parts, as it does those of the paper."""
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for out in (whole, parted):
        out.mkdir()
    finish(start(script, wide_inputs, whole, "torch", epochs=2), whole)
    finish(start(script, wide_inputs, parted, "deepspeed", processes=2, epochs=2, recompute=True), parted)
    compare_curves(parted, whole, processes=2)
    reference = weights(whole)
    for name, weight in weights(parted).items():
        # Of so many gradients a few are only rounding noise, which AdamW turns into whole steps.
        off = (weight - reference[name]).abs()
        assert float(off.max()) < 2e-3, name
        assert float((off > 1e-4).float().mean()) < 1e-4, name


def with_prompts(inputs: dict[str, Path], count: int, folder: Path, way: str = SHARED_PREFIX) -> dict[str, Path]:
    """The same inputs with so many prompts, and with an actor that is asked in this way."""
    some = folder / "rl_prompts.parquet"
    write_parquet(some, read_parquet(inputs["rl_prompts"])[:count], COLUMNS["rl_prompts"])
    actor = shutil.copytree(inputs["actor"], folder / "actor")
    config = json.loads((actor / "config.json").read_text())
    (actor / "config.json").write_text(json.dumps({**config, CONFIG_KEY: way}))
    return {**inputs, "rl_prompts": some, "actor": actor}


@pytest.mark.parametrize("way", [SHARED_PREFIX, GENERATE])
def test_a_rank_without_a_prompt_takes_part(wide_inputs, tmp_path: Path, way: str):
    """Of 9 prompts in batches of 8 the last leaves a rank empty, which must not wait for the others' generation."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    inputs = with_prompts(wide_inputs, 9, tmp_path, way)
    finish(start("train_ppo", inputs, one, "torch", epochs=1), one)
    finish(start("train_ppo", inputs, two, "deepspeed", processes=2, epochs=1), two)
    compare_curves(two, one, processes=2)
    assert curve(one)["episodes"].tolist() == [8, 1]


@pytest.mark.full
def test_eight_ranks_killed_in_the_last_step_go_on(wide_inputs, tmp_path: Path):
    one, eight = tmp_path / "one", tmp_path / "eight"
    one.mkdir()
    inputs = with_prompts(wide_inputs, 19, tmp_path)
    finish(start("train_ppo", inputs, one, "torch", epochs=1, per_device=1), one)
    process = start("train_ppo", inputs, eight, "deepspeed", 8, checkpoint_seconds=0, epochs=1, per_device=1)
    deadline = time.monotonic() + 500
    while not list(eight.glob("scratch/*/checkpoint-2/complete.json")):
        assert process.poll() is None, (eight / "log.txt").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    finish(process, eight, -signal.SIGKILL)
    finish(start("train_ppo", inputs, eight, "deepspeed", 8, epochs=1, per_device=1), eight)
    assert json.loads((eight / "model/run.json").read_text())["resumed_from_step"] == 2
    compare_curves(eight, one, processes=8)
    assert curve(one)["episodes"].tolist() == [8, 8, 3]


def test_ppo_without_prompts_is_refused_before_it_begins(inputs: dict[str, Path], tmp_path: Path):
    nothing = tmp_path / "rl_prompts.parquet"
    write_parquet(nothing, [], COLUMNS["rl_prompts"])
    finish(start("train_ppo", {**inputs, "rl_prompts": nothing}, tmp_path, "torch"), tmp_path, 2)
    told = (tmp_path / "log.txt").read_text()
    assert f"error: no prompt is left to train on\n  where: {nothing}" in told
    assert "max_prompt_length" in told


def compare_engines(out: Path, whole: Path, processes: int) -> None:
    compare_curves(out, whole, processes)
    assert len(curve(whole)) == 12
    reference = weights(whole)
    assert weights(out).keys() == reference.keys()
    for name, weight in weights(out).items():
        torch.testing.assert_close(weight, reference[name], rtol=0, atol=1e-4)


def compare_curves(out: Path, whole: Path, processes: int) -> None:
    """Every step's metrics, and what was measured on held-out pairs."""
    facts, wanted = (json.loads((place / "model/run.json").read_text()) for place in (out, whole))
    assert (facts["processes"], facts["engine"]) == (processes, "deepspeed-zero3")
    pd.testing.assert_frame_equal(curve(out), curve(whole), rtol=1e-4, atol=1e-4)
    if "heldout_pairs" in wanted:
        names = (("heldout_loss", "before", "after"), ("heldout_pairs", "accuracy", "mean_margin"))
        for part, *values in names:
            for value in values:
                assert facts[part][value] == pytest.approx(wanted[part][value], abs=1e-4)
