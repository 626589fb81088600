"""What jobs ask a scheduler for: the plan's numbers with a margin."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.selection import checkpoints
from common.planning.basis import Basis, light_basis
from common.planning.hardware import bandwidth, load_assumptions, load_gpu
from common.planning.machine_checks import check_preemption
from common.planning.requests import request, requested_bytes

ASSUMED = {name: entry.value for name, entry in load_assumptions().items()}
GB = 1e9
PAPER, ONE_GPU, SMOKE = (ROOT / f"config/{name}.yaml" for name in ("paper", "single-gpu", "smoke"))


def basis_of(*overlays: Path, **given: Any) -> Basis:
    config = load_configuration(ROOT / "config.yaml", list(overlays), given)
    return light_basis(config, Path("results/none"))


def test_a_training_on_gpus_asks_for_what_its_processes_and_the_largest_model_take() -> None:
    basis = basis_of(PAPER)
    weights = basis.shape("llama-13b").parameters
    # Eight processes; each writes a sub-group of 10^9 fp32 numbers at a time, and the whole model has 13.
    assert requested_bytes(basis, "train_sft", "llama-13b") == pytest.approx(8 * 5 * GB + 4 * weights)
    asked = request(basis, "train_sft", "llama-13b")
    assert asked.memory_mb * 1e6 == pytest.approx(1.2 * (40 * GB + 4 * weights), rel=0.01)


def test_optimizer_states_in_host_memory_are_asked_for() -> None:
    basis = basis_of(ONE_GPU)
    weights = basis.shape("opt-1.3b").parameters
    assert requested_bytes(basis, "train_sft", "opt-1.3b") == pytest.approx(5 * GB + 18 * weights)
    none = basis_of(ONE_GPU, compute={"offload": "none"})
    assert requested_bytes(none, "train_sft", "opt-1.3b") == pytest.approx(5 * GB + 4 * weights)


def test_nodes_share_the_memory_of_a_training_and_of_nothing_else() -> None:
    one, two = basis_of(PAPER), basis_of(PAPER, compute={"nodes": 2})
    for rule in ("train_coh", "train_sft"):
        halved = request(two, rule, "llama-7b").memory_mb
        assert halved == pytest.approx(request(one, rule, "llama-7b").memory_mb / 2, abs=500)
    assert request(one, "evaluate_task", "llama-7b") == request(two, "evaluate_task", "llama-7b")


def test_the_demo_asks_for_more_than_was_measured_and_not_for_twice_as_much() -> None:
    measured = {"train_sft": 4046, "train_coh": 3707, "train_reward": 3653, "train_rl_sft": 3465, "train_ppo": 6963,
                "evaluate_task": 1978, "sample_responses": 1902, "prepare_model": 1336}  # fmt: skip
    basis = basis_of()
    for rule, mb in measured.items():
        asked = request(basis, rule, "smollm2-135m").memory_mb
        assert mb < asked <= 2 * mb, rule


def test_every_job_of_every_preset_asks_for_something_that_exists() -> None:
    for overlays in ([], [SMOKE], [ONE_GPU], [PAPER], [PAPER, ROOT / "config/two-nodes.yaml"]):
        basis = basis_of(*overlays)
        for model, method in checkpoints(basis.config):
            rules = ["prepare_model", "evaluate_task"] if method == "pretrained" else [f"train_{method}"]
            for rule in rules:
                asked = request(basis, rule, model)
                assert 500 <= asked.memory_mb <= 500_000, (rule, model)
                assert 15 <= asked.minutes <= 1440, (rule, model)


def test_local_data_are_found_from_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(basis_of(), "train_sft", "smollm2-135m")
    shutil.copytree(ROOT / "resources/demo/instructions", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    given = {"references": "alpaca_gpt4_data.json", "comparisons": "comparison_data_v2.json"}
    files = {part: {"kind": "file", "path": f"mine/{name}"} for part, name in given.items()}
    assert request(basis_of(preset="mine", instructions=files), "train_sft", "smollm2-135m") == asked


def test_no_job_asks_for_longer_than_a_site_allows() -> None:
    free = request(basis_of(PAPER), "train_ppo", "opt-6.7b").minutes
    assert free > 600
    for longest in (250, 385, 40):
        short = basis_of(PAPER, site={"longest_minutes": longest})
        for rule, model in (("train_ppo", "opt-6.7b"), ("train_sft", "llama-13b"), ("prepare_model", "llama-13b")):
            assert request(short, rule, model).minutes <= longest
    assert request(short, "train_ppo", "opt-6.7b").minutes == 40


def test_a_limit_that_leaves_no_time_to_train_is_refused() -> None:
    with pytest.raises(UserError, match="site.longest_minutes: 20 leave a training little before it stops"):
        basis_of(PAPER, site={"longest_minutes": 20})


def test_larger_models_take_longer_to_prepare() -> None:
    basis = basis_of(PAPER)
    small, large = (request(basis, "prepare_model", name).minutes for name in ("opt-350m", "llama-13b"))
    assert small <= 30 < 60 < large


def test_a_model_of_unknown_size_asks_for_what_is_assumed() -> None:
    source = {"kind": "hub", "repository": "nobody/nothing", "revision": "0" * 40}
    basis = basis_of(PAPER, models={"mine": {"label": "Mine", "source": source}})
    asked = request(basis, "evaluate_task", "mine")
    assert asked.memory_mb == pytest.approx(1.2 * 64_000, abs=500)
    assert asked.minutes == 1440


def test_the_slowest_link_of_a_ring_of_nodes_counts() -> None:
    gpu = load_gpu("a100-40gb")
    within = {link: bandwidth(gpu, link, ASSUMED) for link in ("nvlink", "pcie")}
    between = {link: bandwidth(gpu, link, ASSUMED, nodes=2) for link in ("nvlink", "pcie")}
    assert between["nvlink"] == min(within["nvlink"] or 0, ASSUMED["infiniband_gb_s"] * GB)
    assert between["pcie"] == min(within["pcie"] or 0, ASSUMED["ethernet_gb_s"] * GB)
    assert (between["pcie"] or 0) < (between["nvlink"] or 0)


SHOWN = {
    "job": "JobId=7 Partition=gpu NodeList=n1",
    "config": "PreemptMode             = OFF\nPreemptType = preempt/none",
}


@pytest.mark.parametrize(
    ("partition", "config", "told"),
    [("PartitionName=gpu PreemptMode=CANCEL", SHOWN["config"], True),
     ("PartitionName=gpu PreemptMode=REQUEUE", "PreemptMode = CANCEL", False),
     ("", "PreemptMode             = GANG,CANCEL", True),
     ("PartitionName=gpu PreemptMode=OFF", "PreemptMode = CANCEL", False),
     ("", "", False)],
)  # fmt: skip
def test_preemption_that_cancels_is_told(partition: str, config: str, told: bool) -> None:
    answers = {("show", "job", "7"): SHOWN["job"], ("show", "partition", "gpu"): partition, ("show", "config"): config}
    found = check_preemption("7", lambda *words: answers[words])
    assert [finding.blocks for finding in found] == [False] * told
    assert check_preemption("", lambda *words: pytest.fail("asked outside SLURM")) == []
