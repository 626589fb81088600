"""The paper preset plans the paper's grid, without loading torch."""

import re
import subprocess
import sys

import pytest
from project_copy import copy_project

PLANNED = {
    "prepare_model": 4, "train_sft": 2, "train_coh": 2, "train_rl_sft": 1, "train_reward": 1, "train_ppo": 1,
    "sample_responses": 2, "evaluate_task": 6, "prepare_task": 4,
}  # fmt: skip
MODELS, METHODS, TASKS = ("llama-7b", "llama-13b"), ("pretrained", "sft", "coh"), ("sst2", "csqa", "mnli", "copa")
RUNS = ("k0_seed0", *(f"k{k}_seed{seed}" for k in (1, 3) for seed in (1, 2, 3)))
RUN_SNAKEMAKE = """
import sys
from snakemake.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    print("exit code:", stop.code or 0)
print("heavy modules:", sorted({"torch", "transformers", "trl", "deepspeed"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a dry run of the paper preset prints in a fresh copy of the repository."""
    copied = copy_project(tmp_path_factory.mktemp("plan") / "repository")
    command = [sys.executable, "-c", RUN_SNAKEMAKE, "-n", "--configfile", "config/paper.yaml"]
    done = subprocess.run(command, cwd=copied, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout + done.stderr


def test_dry_run_succeeds(plan: str) -> None:
    assert "exit code: 0" in plan, plan[-1500:]


@pytest.mark.parametrize("rule", PLANNED)
def test_dry_run_plans_the_jobs_of_the_grid(plan: str, rule: str) -> None:
    counted = re.search(rf"^{rule}\s+(\d+)$", plan, re.MULTILINE)
    assert counted, plan[-1500:]
    assert int(counted[1]) == PLANNED[rule]


def test_dry_run_plans_168_score_files(plan: str) -> None:
    planned = set(re.findall(r"results/paper/eval/([\w./-]+)\.json\b", plan))
    expected = {f"{m}/{method}/{task}/{run}" for m in MODELS for method in METHODS for task in TASKS for run in RUNS}
    assert len(expected) == 168
    assert planned == expected


def test_dry_run_loads_nothing_heavy(plan: str) -> None:
    assert "heavy modules: []" in plan
