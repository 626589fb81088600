"""The probe's arithmetic, and what it trains."""

from pathlib import Path
from typing import Any

import pytest
import torch

from common.data.prompts import PromptFormat
from common.files.parquet import read_parquet
from common.models.loading import load_model, load_tokenizer
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.job_time import Device
from common.planning.probe_figures import (
    ProbedTraining,
    decoding_seconds_at,
    loss_difference,
    measured_assumptions,
    write_assumptions,
)
from common.planning.probe_inputs import make_model, write_rows
from support.frames import PROMPT

ASSUMED = {name: entry.value for name, entry in load_assumptions().items()}


def test_the_largest_relative_difference_of_two_runs_counts() -> None:
    ours, reference = [{"loss": 2.0}, {"loss": 1.1}], [{"loss": 2.0}, {"loss": 1.0}]
    assert loss_difference(ours, reference) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="zip"):
        loss_difference(ours[:1], reference)


def test_decoding_grows_with_the_layers_and_never_shrinks() -> None:
    assert decoding_seconds_at(32, (2, 0.002), (3, 0.0025)) == pytest.approx(0.017)
    assert decoding_seconds_at(32, (2, 0.002), (3, 0.0019)) == 0.002


def probed(flops: float, seconds: float) -> ProbedTraining:
    return ProbedTraining("sft", flops, seconds, tokens=1.0, memory=1.0, planned=1.0)


def test_measured_values_are_read_by_a_plan(tmp_path: Path) -> None:
    found = [probed(3e12, 10.0), probed(1e12, 10.0), probed(0.0, 5.0)]
    gpu = load_gpu("a100-40gb")
    cpu = measured_assumptions(
        Device(None, 1, ASSUMED), found, threads=2, decoding=0.0, tokens_per_word=1.31, machine="a CPU"
    )
    assert cpu["cpu_gflops"]["value"] == pytest.approx(100.0)
    on_gpu = measured_assumptions(
        Device(gpu, 4, ASSUMED),
        [probed(4 * 312e12, 2.0)],
        threads=32,
        decoding=0.0123,
        tokens_per_word=None,
        machine="4 cards",
    )
    assert cpu["tokens_per_word"]["value"] == 1.31
    assert on_gpu["utilisation"]["value"] == pytest.approx(0.5)
    for values in (cpu, on_gpu):
        write_assumptions(tmp_path / "probe.yaml", values)
        loaded = load_assumptions(tmp_path / "probe.yaml")
        assert all(loaded[name].value == entry["value"] for name, entry in values.items())
        assert all("make probe" in loaded[name].source for name in values)


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["huggyllama/llama-7b", "facebook/opt-350m"])
def test_models_have_full_width_and_few_layers_and_rows_are_as_long_as_may_be(repository: str, tmp_path: Path) -> None:
    source = {"kind": "hub", "repository": repository, "revision": "0" * 40}
    config: dict[str, Any] = {"models": {"m": {"source": source}}, "seed": 1, "prompt": PROMPT}
    if "llama" in repository:  # the real width takes a gigabyte
        source |= {"kind": "random", "architecture": "llama", "vocabulary": 500, "config": {
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 32, "num_attention_heads": 4}}  # fmt: skip
    made = make_model(config, "m", tmp_path, 2, tmp_path / "m", own_tokenizer=False)
    assert made.depth in (24, 32)
    model, tokenizer = load_model(made.folder, torch.float32), load_tokenizer(made.folder)
    assert model.config.num_hidden_layers == 2
    assert model.num_parameters() == made.shape.parameters
    prompt = PromptFormat.from_settings(PROMPT)
    write_rows(tmp_path / "rows", tokenizer, prompt, longest=300, prompts=100, rows=9)
    for row in read_parquet(tmp_path / "rows/rl_prompts.parquet"):
        tokens = tokenizer(prompt.prompt(row["instruction"], "") + prompt.markers["response"])["input_ids"]
        assert 90 < len(tokens) <= 100
    for row in read_parquet(tmp_path / "rows/rl_reward.parquet"):
        assert len(tokenizer(row["chosen"])["input_ids"]) >= 300
        assert row["chosen"] != row["rejected"]
