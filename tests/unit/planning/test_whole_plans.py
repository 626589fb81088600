"""Whole plans: what presets need, what is advised, what a profile states, the GPU types and the command."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import plan_run
from common.base.errors import UserError
from common.base.paths import HARDWARE, ROOT
from common.files.yaml_files import read_mapping
from common.planning.advice import ConfigChange, host_problems, lead_problems, memory_problems, remedies, stuck_problems
from common.planning.basis import Basis
from common.planning.hardware import bandwidth, load_assumptions, load_gpu
from common.planning.job_plan import JobPlan, disk_bytes, needed_lead
from common.planning.planner import plan_again, plan_jobs
from common.planning.site_profiles import Site, read_site
from common.planning.training_jobs import supervised_job
from support.plans import ASSUMED, LLAMA_13B, basis_of, preset


@pytest.fixture(scope="module")
def paper() -> tuple[Basis, list[JobPlan]]:
    basis = basis_of(preset("paper"))
    return basis, list(plan_jobs(basis))


def job_of(jobs: list[JobPlan], rule: str, model: str) -> JobPlan:
    return next(job for job in jobs if (job.rule, job.model) == (rule, model))


# --- whole plans -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_papers_grid_fits_eight_a100_of_40_gb(paper: tuple[Basis, list[JobPlan]]) -> None:
    planned, jobs = paper
    assert {job.rule for job in jobs} == {"train_sft", "train_coh", "train_rl_sft", "train_reward", "train_ppo",
                                          "sample_responses", "evaluate_task"}  # fmt: skip
    assert all(job.memory.total < 37e9 for job in jobs)
    assert memory_problems(planned, jobs, lambda job: 42.4e9) == []
    for link, most in (("nvlink", 85), ("pcie", 215)):
        assert sum(job.gpu_hours(link) or 0 for job in jobs) < most


@pytest.mark.slow
def test_hours_of_llama_13b(paper: tuple[Basis, list[JobPlan]]) -> None:
    sft = job_of(paper[1], "train_sft", "llama-13b")
    assert sft.parameters == LLAMA_13B
    pcie, nvlink = sft.seconds["pcie"], sft.seconds["nvlink"]
    assert pcie is not None
    assert nvlink is not None
    assert 3 * 3600 < pcie < 5 * 3600
    assert nvlink < pcie
    assert sft.gpu_hours("pcie") == pytest.approx(8 * pcie / 3600)


def test_accumulating_instead_of_a_large_micro_batch_costs_most_of_a_day_over_pcie() -> None:
    config = preset("paper")
    config["methods"]["sft"]["training"]["per_device_batch_size"] = 2
    seconds = supervised_job(basis_of(config), "sft", "llama-13b").seconds["pcie"]
    assert seconds is not None
    assert 18 < seconds / 3600 < 36


@pytest.mark.slow
@pytest.mark.parametrize("preset_name", ["paper", "single-gpu"])
def test_checkpoints_take_three_percent_of_the_hours_where_the_job_chooses_when(preset_name: str) -> None:
    config = preset(preset_name)
    assert config["compute"]["checkpoint_seconds"] == "auto"
    basis = basis_of(config)
    without = basis.changed({**config, "compute": {**config["compute"], "checkpoint_seconds": 10**9}})
    for link in ("nvlink", "pcie"):
        found, alone = (
            sum(job.gpu_hours(link) or 0 for job in plan_jobs(each) if job.rule.startswith("train_"))
            for each in (basis, without)
        )
        assert alone <= found <= 1.03 * alone


@pytest.mark.slow
def test_ppo_holds_four_models_and_gathers_the_actor(paper: tuple[Basis, list[JobPlan]]) -> None:
    ppo = job_of(paper[1], "train_ppo", "opt-6.7b")
    assert ppo.memory.moment == "generation"
    assert ppo.memory.parts["whole weights"] == 2 * 6_658_473_984
    # Actor and critic are trained (16 bytes a parameter), reference and reward model only held (2).
    assert ppo.memory.parts["states"] * 8 == pytest.approx(18 * (6_658_473_984 + 331_197_440))


@pytest.mark.slow
def test_disk_is_the_sum_of_its_parts(paper: tuple[Basis, list[JobPlan]]) -> None:
    disk = disk_bytes(*paper, together=False)
    assert disk.resumable_state / 1e9 == pytest.approx(3 * 182.2, abs=1)
    # Two 2-byte copies (download and prepared) of each base model.
    assert disk.base_models == 4 * (6_738_415_616 + LLAMA_13B + 6_658_473_984 + 331_196_416)
    # All but PPO, which waits for two others.
    scheduled = disk_bytes(*paper, together=True)
    assert scheduled.resumable_state == sum(job.scratch for job in paper[1] if job.rule != "train_ppo")
    assert disk.total == pytest.approx(disk.base_models + disk.trained_models + disk.resumable_state)


def test_what_does_not_fit_is_named_with_settings_that_make_it_fit() -> None:
    config = preset("paper")
    config["methods"]["coh"]["training"]["per_device_batch_size"] = 16
    basis = basis_of(config)
    job = supervised_job(basis, "coh", "llama-13b")
    problems = memory_problems(basis, [job], lambda job: 42.4e9)
    assert len(problems) == 1
    told = "\n".join(problems[0].remedies)
    assert "`methods.coh.training.per_device_batch_size: 8`" in told
    assert "`compute.offload: optimizer`" in told
    cured = ConfigChange({("methods", "coh", "training", "per_device_batch_size"): 8}).apply(config)
    assert plan_again(basis.changed(cured), job).memory.total <= 42.4e9
    assert config["methods"]["coh"]["training"]["per_device_batch_size"] == 16


@pytest.mark.slow
def test_when_no_single_setting_suffices_all_are_combined_or_more_gpus_asked_for() -> None:
    config = preset("paper")
    config["compute"]["gradient_checkpointing"] = False
    basis = basis_of(config, gpus={"train_coh": 1})
    job = supervised_job(basis, "coh", "llama-13b")
    together = remedies(basis, job, 12e9)
    assert len(together) == 1
    for setting in ("gradient_checkpointing: true", "per_device_batch_size: 1", "offload: parameters"):
        assert setting in together[0]
    assert memory_problems(basis, [job], lambda job: 1e9)[0].remedies == ["more GPUs, or GPUs with more memory"]


@pytest.mark.slow
def test_single_gpu_preset_is_an_evening_on_a_card_of_24_gb() -> None:
    jobs = list(plan_jobs(basis_of(preset("single-gpu"))))
    assert {job.gpus for job in jobs} == {1}
    assert all(job.memory.total < 24e9 for job in jobs)
    assert max(job.memory.host for job in jobs) < 60e9
    assert 1 < sum(job.count * (job.seconds["pcie"] or 0) for job in jobs) / 3600 < 5
    assert all(job.seconds["pcie"] == job.seconds["nvlink"] for job in jobs)


def test_single_gpu_preset_has_the_papers_hyper_parameters() -> None:
    small, whole = preset("single-gpu"), preset("paper")
    changed = {"epochs", "per_device_batch_size", "log_steps"}
    for method in ("sft", "coh", "rl_sft", "reward"):
        for key in whole["methods"][method]["training"].keys() - changed:
            assert small["methods"][method]["training"][key] == whole["methods"][method]["training"][key], (method, key)
    for key in whole["methods"]["ppo"].keys() - changed:
        assert small["methods"]["ppo"][key] == whole["methods"]["ppo"][key], key
    assert small["tasks"] == whole["tasks"]
    assert small["instructions"] == whole["instructions"]


@pytest.mark.slow
def test_what_people_compare_is_planned_after_what_the_tables_show() -> None:
    config = preset("smoke")
    usual = list(plan_jobs(basis_of(config)))
    config["human_eval"]["pairs"] = [{"model": "tiny-llama", "first": "coh", "second": "ppo"}]
    config["rl"]["reward_models"]["tiny-llama"] = "tiny-opt"
    basis = basis_of(config)
    planned = list(plan_jobs(basis))
    trained = [job for job in planned if job.rule.startswith("train_")]
    before = [(job.rule, job.model) for job in usual if job.rule.startswith("train_")]
    assert [(job.rule, job.model) for job in trained] == [
        *before, ("train_rl_sft", "tiny-llama"), ("train_ppo", "tiny-llama"),
    ]  # fmt: skip
    llama, scorer = basis.shape("tiny-llama").parameters, basis.shape("tiny-opt", "reward").parameters
    assert trained[-1].parameters == 2 * llama + 2 * scorer
    assert [plan_again(basis, job) for job in planned] == planned


# --- pre-emption and profiles ----------------------------------------------------------------------------------------


def write_profile(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_profile_states_gpus_and_leads_by_rule(tmp_path: Path) -> None:
    coh = {"gpu": 4, "slurm_extra": "'--signal=B:TERM@900'", "mem_mb": "min(attempt, 3) * 240000"}
    site = read_site(write_profile(tmp_path / "site", {
        "executor": "slurm",
        "default-resources": {"slurm_extra": "'--signal=TERM@60'"},
        "set-resources": {
            "train_coh": coh, "train_sft": {"gpu": 2, "mem_mb": 64000}, "train_ppo": {"mem_mb": "some()"},
        },
    }))  # fmt: skip
    assert site.memory == {"train_coh": 240e9, "train_sft": 64e9}
    assert site.scheduled
    assert not read_site(ROOT / "profiles/local-gpu").scheduled
    assert site.gpus == {"train_coh": 4, "train_sft": 2}
    assert site.lead_of("train_coh") == 900
    assert site.lead_of("train_sft") == 60
    assert read_site(None).lead_of("train_sft") is None
    with pytest.raises(UserError, match=r"no config\.yaml"):
        read_site(tmp_path)


@pytest.mark.slow
def test_a_lead_shorter_than_a_checkpoint_needs_is_refused(paper: tuple[Basis, list[JobPlan]]) -> None:
    job = job_of(paper[1], "train_sft", "llama-13b")
    needed = needed_lead(job, ASSUMED)
    assert needed == pytest.approx((job.step_seconds + 182.2 + 182.2 / 8 / 0.6) / 0.75, abs=2)
    assert lead_problems([job], Site(default_lead=int(needed) + 1), ASSUMED) == []
    assert lead_problems([job], Site(), ASSUMED) == []
    problems = lead_problems([job], Site(lead={"train_sft": int(needed) - 1}), ASSUMED)
    assert len(problems) == 1
    assert problems[0].remedies[0] == "`compute: {stop_lead_seconds: 360}`"
    assert lead_problems([job], Site(), ASSUMED, usual=int(needed) + 1) == []
    assert len(lead_problems([job], Site(), ASSUMED, usual=int(needed) - 1)) == 1


@pytest.mark.slow
def test_a_checkpoint_that_would_count_as_stuck_is_told(paper: tuple[Basis, list[JobPlan]]) -> None:
    jobs = paper[1]
    assert stuck_problems(jobs, ASSUMED, paper[0].config["compute"]["stuck_seconds"]) == []
    slow = {**ASSUMED, "disk_write_gb_s": 0.1}
    found = {problem.where: problem for problem in stuck_problems(jobs, slow, 1800)}
    assert "writing a checkpoint of 182 GB" in found[job_of(jobs, "train_sft", "llama-13b").name].what


@pytest.mark.slow
def test_less_memory_than_a_job_needs_is_refused(paper: tuple[Basis, list[JobPlan]]) -> None:
    job = job_of(paper[1], "evaluate_task", "llama-13b")
    assert host_problems([job], Site(memory={"evaluate_task": 64e9})) == []
    (problem,) = host_problems([job], Site(memory={"evaluate_task": 32e9}))
    assert problem.what == "52.1 GB of CPU memory are needed, the profile asks for 32.0"
    assert problem.remedies == ["`mem_mb: 53000` or more for evaluate_task in the profile"]
    for profile in ("slurm", "pbs", "lsf", "local-gpu"):
        assert host_problems(paper[1], read_site(ROOT / "profiles" / profile)) == []


@pytest.mark.slow
def test_the_preset_leaves_time_for_the_papers_checkpoints(paper: tuple[Basis, list[JobPlan]]) -> None:
    basis, jobs = paper
    assert (
        lead_problems(jobs, read_site(ROOT / "profiles/slurm"), ASSUMED, basis.config["compute"]["stop_lead_seconds"])
        == []
    )


@pytest.mark.slow
def test_the_paper_preset_stops_early_enough_before_a_time_limit(paper: tuple[Basis, list[JobPlan]]) -> None:
    basis, jobs = paper
    needed = max(needed_lead(job, ASSUMED) for job in jobs if job.checkpoint)
    assert 0 < needed <= basis.config["compute"]["stop_lead_seconds"]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_the_plan_and_every_assumption(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert plan_run.main(["--configfile", str(ROOT / "config/smoke.yaml"), "--json", str(tmp_path / "plan.json")]) == 0
    printed = capsys.readouterr().out
    assert "All numbers are estimates" in printed
    assert "Everything fits." in printed
    for name, entry in load_assumptions().items():
        assert f"{name} = {entry.value:g}" in printed
    jobs = json.loads((tmp_path / "plan.json").read_text())["jobs"]
    assert {job["rule"] for job in jobs} >= {"train_sft", "train_ppo", "evaluate_task"}
    assert all(job["memory_bytes"] == pytest.approx(sum(job["memory"].values())) for job in jobs)


@pytest.mark.slow
def test_a_plan_that_does_not_fit_ends_with_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    profile = write_profile(tmp_path / "site", {"default-resources": {"slurm_extra": "--signal=TERM@10"}})
    assert plan_run.main(["--configfile", str(ROOT / "config/single-gpu.yaml"), "--profile", str(profile)]) == 3
    printed = capsys.readouterr().out
    assert "does not fit: train_sft opt-1.3b" in printed
    assert "10 s lie between SIGTERM and the end" in printed
    assert "Everything fits." not in printed


def test_a_gpu_that_is_not_known_is_an_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_run.main(["--gpu", "a100-40g"]) == 2
    told = capsys.readouterr().err
    assert "did you mean `a100-40gb`?" in told
    assert "Traceback" not in told


def test_rows_of_the_table_name_every_job(paper: tuple[Basis, list[JobPlan]]) -> None:
    rows = plan_run.job_rows(paper[1])
    assert [row[:2] for row in rows] == [[job.rule, job.model] for job in paper[1]]
    assert all(len(row) == len(plan_run.JOB_COLUMNS) for row in rows)
    on_cpu = supervised_job(basis_of(preset("smoke")), "reward", "tiny-opt")
    assert [plan_run.room_of(paper[0].gpu, job) for job in (on_cpu, paper[1][0])] == [None, 42.4e9]


# --- assumptions and GPU types ----------------------------------------------------------------------------------------


def test_assumptions_can_be_replaced_but_not_mistyped(tmp_path: Path) -> None:
    given_values = tmp_path / "mine.yaml"
    given_values.write_text("utilisation: 0.5\nhash_gb_s: {value: 2.0, source: measured here}\n")
    found = load_assumptions(given_values)
    assert found["utilisation"].value == 0.5
    assert found["hash_gb_s"].source == "measured here"
    assert found["length_spread"] == load_assumptions()["length_spread"]
    for content, complaint in (("utilisaton: 0.5\n", "no plan assumes"), ("utilisation: 0\n", "no positive number")):
        given_values.write_text(content)
        with pytest.raises(UserError, match=complaint):
            load_assumptions(given_values)


def test_devices_without_a_link_are_said_to_have_none() -> None:
    config = preset("paper")
    job = supervised_job(basis_of(config, "a10-24gb"), "sft", "llama-7b")
    assert job.seconds["nvlink"] is None
    assert job.gpu_hours("nvlink") is None
    assert job.seconds["pcie"] is not None


def test_every_gpu_type_is_complete_and_names_its_source() -> None:
    for name in read_mapping(HARDWARE / "gpus.yaml"):
        gpu = load_gpu(name)
        assert gpu.memory_gb > 0
        assert gpu.bf16_tflops > 0
        assert gpu.source
        rate = bandwidth(gpu, "pcie", ASSUMED)
        assert rate is not None
        assert 0 < rate < gpu.pcie_gb_s * 1e9
