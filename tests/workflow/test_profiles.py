"""The profiles: each plans the paper's grid, and what they ask for fits together."""

import functools
import os
import re
import subprocess
import sys

import pytest
import yaml

from common.base.paths import ROOT

GENERIC = ("pbs", "lsf")  # through the executor cluster-generic
PROFILES = ("default", "local-gpu", "slurm", *GENERIC)
PAPER = ["--configfile", "config/paper.yaml"]
JOB = re.compile(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", re.MULTILINE)


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


def dry_run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--workflow-profile", f"profiles/{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def requests(output: str) -> dict[str, dict[str, str]]:
    """What the jobs of each rule ask for."""
    pairs = {rule: re.findall(r"(\w+)=([^,]*)", resources) for rule, resources in JOB.findall(output)}
    return {rule: dict(found) for rule, found in pairs.items()}


@functools.cache
def plan_of_the_paper(name: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A dry run and the processor time it took; the clock also counts what else the machine does meanwhile."""
    before = os.times()
    done = dry_run(name, *PAPER)
    after = os.times()
    return done, after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("name", PROFILES)
def test_a_dry_run_of_the_paper_is_clean_and_quick(name: str) -> None:
    done, seconds = plan_of_the_paper(name)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "This was a dry-run" in done.stdout + done.stderr
    assert not re.search(r"\b(Traceback|Warning|Error)\b", done.stdout + done.stderr)
    assert seconds < 10


@pytest.fixture(scope="module")
def on_slurm() -> dict[str, dict[str, str]]:
    return requests(plan_of_the_paper("slurm")[0].stdout)


def test_gpu_rules_ask_for_their_partition_and_never_for_tasks(on_slurm: dict[str, dict[str, str]]) -> None:
    with_gpu = {rule: asked for rule, asked in on_slurm.items() if int(asked.get("gpu", 0))}
    assert {"train_sft", "train_coh", "evaluate_task"} <= with_gpu.keys()
    for rule, asked in with_gpu.items():
        assert (asked["slurm_partition"], asked["gpu_model"]) == ("gpu", "a100"), rule
        assert asked["nodes"] == "1", f"SLURM may spread {rule} over nodes"
        assert asked["gpu"] == ("8" if rule.startswith(("train_", "check_machine")) else "1"), rule
    for rule, asked in on_slurm.items():
        assert not {"tasks", "tasks_per_gpu", "ntasks"} & asked.keys(), rule
        assert rule in with_gpu or "gpu_model" not in asked, f"{rule} would be given a GPU"


def test_every_rule_asks_for_memory_and_time(on_slurm: dict[str, dict[str, str]]) -> None:
    assert len(on_slurm) > 15
    for rule, asked in on_slurm.items():
        assert int(asked["runtime"]) > 0, rule
        assert rule == "all" or int(asked["mem_mb"]) >= 1000, rule


def test_training_jobs_have_time_to_save(on_slurm: dict[str, dict[str, str]]) -> None:
    for rule, asked in on_slurm.items():
        seconds = int(asked["slurm_extra"].removeprefix("--signal=TERM@"))
        assert seconds >= (600 if rule.startswith("train_") else 60), rule
        assert seconds < 60 * int(asked["runtime"]), rule


@pytest.mark.parametrize("name", GENERIC)
def test_jobs_of_pbs_and_lsf_ask_for_queue_memory_and_time(name: str) -> None:
    asked_for = requests(plan_of_the_paper(name)[0].stdout)
    assert {"train_sft", "train_ppo", "evaluate_task", "prepare_model"} <= asked_for.keys()
    for rule, asked in asked_for.items():
        assert asked["queue"] == ("gpu" if int(asked.get("gpu", 0)) else "cpu"), rule
        assert int(asked["runtime"]) * 60 > int(asked.get("stop_lead", 0)), rule
        assert rule == "all" or int(asked["mem_mb"]) >= 1000, rule


@pytest.mark.parametrize("name", GENERIC)
def test_the_scripts_of_pbs_and_lsf_can_be_called(name: str) -> None:
    for kind in ("submit", "status", "cancel"):
        assert profile(name)[f"cluster-generic-{kind}-cmd"] == f"{kind}.py"
        assert os.access(ROOT / f"profiles/{name}/{kind}.py", os.X_OK)


def test_the_profiles_agree_on_what_is_out_of_date() -> None:
    for key in ("rerun-incomplete", "rerun-triggers", "keep-going"):
        assert len({str(profile(name)[key]) for name in PROFILES}) == 1, key
    assert profile("default")["rerun-incomplete"] is True


def test_only_local_profiles_limit_cores() -> None:
    assert [profile(name).get("cores") for name in PROFILES] == ["all", "all", None, None, None]


@pytest.mark.parametrize("option", ["--sdm=apptainer", "--use-singularity"])
def test_containers_that_no_rule_names_are_refused(option: str) -> None:
    done = dry_run("default", option)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "error: the rules name no container, so that jobs would run outside of one" in told
    assert "what to do: run Snakemake itself inside the image, without this option (docs/containers.md)" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("limit", [4, 7])
def test_more_gpus_than_the_limit_are_refused_and_not_clamped(limit: int) -> None:
    done = dry_run("local-gpu", "--resources", f"gpu={limit}", *PAPER)
    assert done.returncode != 0
    assert f"compute.gpus asks for 8 GPUs per job, the limit of this run is {limit}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_rule_that_was_given_fewer_gpus_hides_no_other() -> None:
    done = dry_run("local-gpu", *PAPER, "--resources", "gpu=4", "--set-resources", "train_sft:gpu=4")
    assert done.returncode == 1
    assert "compute.gpus asks for 8 GPUs per job, the limit of this run is 4" in done.stdout + done.stderr
