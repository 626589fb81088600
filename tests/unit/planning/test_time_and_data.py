"""Seconds and bytes of a job beside obvious references; the number and the length of the sequences it sees."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from common.base.checkpoint_times import checkpoints_within
from common.base.paths import ROOT
from common.data.instructions import load_instructions
from common.data.splits import manifest, split
from common.planning import sequence_sizes as data_sizes
from common.planning.hardware import bandwidth, load_gpu
from common.planning.job_time import (
    Device,
    checkpoint_bytes,
    checkpoint_seconds,
    decoding_seconds,
    exchanged_bytes,
    forward_flops,
    offload_seconds,
    training_flops,
)
from common.planning.memory import JobModel
from common.planning.model_shapes import shape_of
from support.plans import ASSUMED, LLAMA_13B, NOWHERE, preset, sized, tiny

# --- time and disk ---------------------------------------------------------------------------------------------------


def test_llama_13b_moves_78_gb_a_micro_step_and_stores_182_gb() -> None:
    model = [JobModel(sized(LLAMA_13B))]
    assert exchanged_bytes(model, 8) / 1e9 == pytest.approx(78 * 7 / 8, abs=0.2)
    assert exchanged_bytes(model, 1) == 0
    assert checkpoint_bytes(model, deepspeed=True) / 1e9 == pytest.approx(182, abs=0.5)


def test_pcie_moves_a_13b_micro_step_in_four_to_eight_seconds() -> None:
    rate = bandwidth(load_gpu("a100-40gb"), "pcie", ASSUMED)
    assert rate is not None
    assert 4 < exchanged_bytes([JobModel(sized(LLAMA_13B))], 8) / rate < 8


def test_operations_of_a_token_beside_a_count_by_torch() -> None:
    config = tiny("llama", num_hidden_layers=3)
    shape, length = shape_of("tiny", config), 128
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, length, dtype=torch.long)).logits.sum().backward()
    # Torch's eager attention computes the masked half of the scores as well.
    attention = 2 * shape.layers * shape.hidden * length
    expected = length * (training_flops(shape, length, checkpointing=False) + 3 * attention)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)
    assert training_flops(shape, length, checkpointing=True) == pytest.approx(4 * forward_flops(shape, length))


def test_offloading_costs_transfers_and_a_pass_in_host_memory() -> None:
    device = Device(load_gpu("rtx-3090"), 1, {**ASSUMED, "pcie_efficiency": 0.5, "host_memory_gb_s": 28})
    model = [JobModel(sized(10**9))]
    assert offload_seconds(model, device, 1, "none") == 0
    # 2 GB of gradients down and 2 GB of weights up at 16 GB/s; 28 bytes a parameter at 28 GB/s.
    assert offload_seconds(model, device, 1, "optimizer") == pytest.approx(4 / 16 + 1)
    assert offload_seconds(model, device, 1, "parameters") == pytest.approx(8 / 16 + 1)


def test_decoding_is_bound_by_reading_weights_or_by_the_shortest_step() -> None:
    gpu = Device(load_gpu("a100-40gb"), 1, {**ASSUMED, "decoding_step_seconds": 0.001})
    assert decoding_seconds(sized(10**10), gpu, 100, 3, 2) == pytest.approx(300 * 20e9 / 1555e9)
    assert decoding_seconds(sized(1000), gpu, 100, 3, 2) == pytest.approx(300 * 0.001)


@given(st.floats(0, 1e12), st.integers(1, 16))
def test_a_checkpoint_is_written_once_and_hashed_by_all(size: float, ranks: int) -> None:
    one = size / (ASSUMED["disk_write_gb_s"] * 1e9) + size / ranks / (ASSUMED["hash_gb_s"] * 1e9)
    assert checkpoint_seconds(size, ranks, ASSUMED) == pytest.approx(one)


@given(st.integers(1, 10**5), st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_job_writes_a_checkpoint_for_each_full_interval(seconds: int, every: int, first: int) -> None:
    assert checkpoints_within(seconds, every, every) == seconds // every
    moments = range(first, seconds + 1, every)
    assert checkpoints_within(seconds, every, first) == len(moments)


# --- data -------------------------------------------------------------------------------------------------------------


def test_local_data_are_counted_before_anything_is_made(tmp_path: Path) -> None:
    config = preset("demo")
    found = data_sizes.sequences(config, "sft", 512, NOWHERE, ASSUMED)
    assert found.measured
    assert found.count == config["splits"]["prompts"] - config["splits"]["heldout"]
    assert 40 < found.mean < found.longest < 512
    assert data_sizes.sequences(config, "coh", 512, NOWHERE, ASSUMED).mean > found.mean
    assert data_sizes.sequences(config, "sft", 64, NOWHERE, ASSUMED).longest == 64


def test_the_manifest_counts_when_it_is_of_the_configured_splits(tmp_path: Path) -> None:
    config = preset("paper")
    assert data_sizes.read_manifest(config, tmp_path) is None
    paths = [ROOT / preset("demo")["instructions"][part]["path"] for part in ("references", "comparisons")]
    rows = load_instructions(*paths, 0.0).rows
    counts = {"prompts": 60, "heldout": 10, "rl_sft": 10, "rl_reward": 10, "rl_prompts": 10}
    config["splits"] = {**config["splits"], **counts}
    made = manifest(split(rows, config["splits"], 1), rows, config["splits"], 1)
    made["provenance"] = {"settings": {"seed": config["seed"], "splits": config["splits"]}}
    (tmp_path / "data/splits").mkdir(parents=True)
    (tmp_path / "data/splits/manifest.json").write_text(json.dumps(made))
    found = data_sizes.sequences(config, "reward", 512, tmp_path, ASSUMED)
    assert found.measured
    assert found.count == made["reward_pairs"]
    config["seed"] += 1
    assert not data_sizes.sequences(config, "reward", 512, tmp_path, ASSUMED).measured


def test_without_data_counts_follow_from_the_configuration() -> None:
    config = preset("paper")
    counts = {method: data_sizes.sequences(config, method, 512, NOWHERE, ASSUMED).count
              for method in ("sft", "coh", "rl_sft", "reward", "ppo")}  # fmt: skip
    assert counts == {"sft": 52_000, "coh": 52_000, "rl_sft": 10_000, "reward": 20_255, "ppo": 30_000}
    config["splits"]["fine_tune_on_heldout"] = False
    assert data_sizes.sequences(config, "sft", 512, NOWHERE, ASSUMED).count == 50_000
