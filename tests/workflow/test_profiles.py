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
SITE = "tests/cluster/site.yaml"
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
def plan_of_the_paper(name: str, *further: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A dry run and the processor time it took; the clock also counts what else the machine does meanwhile."""
    before = os.times()
    done = dry_run(name, *PAPER, *further)
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
    return requests(plan_of_the_paper("slurm", SITE)[0].stdout)


def test_gpu_rules_ask_for_their_partition_and_never_for_tasks(on_slurm: dict[str, dict[str, str]]) -> None:
    with_gpu = {rule: asked for rule, asked in on_slurm.items() if asked.get("gpu", "0") != "0"}
    assert {"train_sft", "train_coh", "evaluate_task"} <= with_gpu.keys()
    for rule, asked in with_gpu.items():
        assert (asked["slurm_partition"], asked["slurm_account"]) == ("accelerated", "lab42"), rule
        assert asked["nodes"] == "1", f"SLURM may spread {rule} over nodes"
        number = 8 if rule.startswith(("train_", "check_machine")) else 1
        assert (asked["gpu"], asked["gpus"]) == (f"nvidia_a100-sxm4-80gb:{number}", str(number)), rule
    for rule, asked in on_slurm.items():
        assert not {"tasks", "tasks_per_gpu", "ntasks", "mpi"} & asked.keys(), rule
        assert rule in with_gpu or not {"gpu", "gpus", "gpu_model"} & asked.keys(), f"{rule} would be given a GPU"


def test_without_gpus_nobody_asks_for_one_nor_for_its_partition() -> None:
    done = dry_run("slurm", "--configfile", "config/smoke.yaml", SITE)
    for rule, asked in requests(done.stdout).items():
        assert asked.get("gpu", "0") == "0", rule
        assert rule == "all" or asked["slurm_partition"] == "standard", rule
        assert not {"gpus", "gpu_model"} & asked.keys(), rule


def test_two_nodes_ask_for_a_task_each() -> None:
    asked = requests(dry_run("slurm", *PAPER, "config/two-nodes.yaml", SITE).stdout)
    training = asked["train_coh"]
    named = {name: training[name] for name in ("nodes", "tasks", "tasks_per_gpu", "mpi", "gpus")}
    assert named == {"nodes": "2", "tasks": "2", "tasks_per_gpu": "0", "mpi": "srun", "gpus": "8"}
    assert "--gpus-per-node=nvidia_a100-sxm4-80gb:4" in training["slurm_extra"]
    assert asked["evaluate_task"]["nodes"] == "1"


def test_what_is_asked_for_is_planned_for_the_preset(on_slurm: dict[str, dict[str, str]]) -> None:
    small = requests(dry_run("slurm", "--configfile", "config/single-gpu.yaml").stdout)
    for rule in ("train_sft", "train_ppo", "evaluate_task"):
        assert int(small[rule]["mem_mb"]) < 0.6 * int(on_slurm[rule]["mem_mb"]), rule
        assert int(small[rule]["runtime"]) <= int(on_slurm[rule]["runtime"]), rule
    assert int(on_slurm["evaluate_task"]["runtime"]) < 480


def test_every_rule_asks_for_memory_and_time(on_slurm: dict[str, dict[str, str]]) -> None:
    assert len(on_slurm) > 15
    for rule, asked in on_slurm.items():
        assert rule == "all" or int(asked["runtime"]) > 0, rule
        assert rule == "all" or int(asked["mem_mb"]) >= 1000, rule


def test_training_jobs_have_time_to_save(on_slurm: dict[str, dict[str, str]]) -> None:
    for rule, asked in on_slurm.items():
        if rule == "all" or asked.get("slurm_extra") is None:
            continue  # a target, or a job of the login node
        seconds = int(re.search(r"--signal=TERM@(\d+)", asked["slurm_extra"])[1])
        assert seconds >= (600 if rule.startswith("train_") else 60), rule
        assert seconds < 60 * int(asked["runtime"]), rule


@pytest.mark.parametrize("name", GENERIC)
def test_jobs_of_pbs_and_lsf_ask_for_the_same_as_those_of_slurm(name: str, on_slurm: dict[str, dict[str, str]]) -> None:
    assert requests(plan_of_the_paper(name, SITE)[0].stdout) == on_slurm


@pytest.mark.parametrize("name", GENERIC)
def test_the_scripts_of_pbs_and_lsf_can_be_called(name: str) -> None:
    for kind in ("submit", "status", "cancel", "sidecar"):
        assert profile(name)[f"cluster-generic-{kind}-cmd"] == f"{kind}.py"
        assert os.access(ROOT / f"profiles/{name}/{kind}.py", os.X_OK)


def test_the_profiles_agree_on_what_is_out_of_date() -> None:
    for key in ("rerun-incomplete", "rerun-triggers", "keep-going"):
        assert len({str(profile(name)[key]) for name in PROFILES}) == 1, key
    assert profile("default")["rerun-incomplete"] is True


def test_only_the_profile_that_is_never_joined_with_another_limits_cores() -> None:
    """Snakemake reads profiles/default beside `--profile profiles/slurm`, whose jobs it would limit."""
    assert [profile(name).get("cores") for name in PROFILES] == [None, "all", None, None, None]


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
