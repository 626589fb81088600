"""How long a run takes: sizes without torch, jobs one by one, what was seen, and jobs side by side."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.files.whole_files import write_json
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.model_shapes import find_shape, shape_of
from common.planning.planner import plan_jobs
from common.planning.run_time import kind_of, planned_seconds
from common.planning.schedule import ANSWERS, OTHER, TRAINS, Seen, Task, correction, makespan
from common.planning.shapes import estimate_shape

ASSUMED = {name: entry.value for name, entry in load_assumptions().items()}
NOWHERE = Path("/nonexistent")


def basis_of(preset: str, find: Any = estimate_shape) -> Basis:
    overlays = [] if preset == "demo" else [ROOT / f"config/{preset}.yaml"]
    config = load_configuration(ROOT / "config.yaml", overlays, {})
    return Basis(config, load_gpu(config["compute"]["gpu_type"]), ASSUMED, NOWHERE, find)


# --- sizes and jobs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["demo", "paper", "single-gpu"])
def test_sizes_told_from_keys_are_close_to_counted_ones(preset: str) -> None:
    basis = basis_of(preset)
    for model in basis.config["models"]:
        for kind in ("language", "reward"):
            counted = find_shape(basis.config, model, NOWHERE, kind)
            estimated = estimate_shape(basis.config, model, NOWHERE, kind)
            assert estimated.parameters == pytest.approx(counted.parameters, rel=0.02)
            assert estimated.multiplied == pytest.approx(counted.multiplied, rel=0.02)
            assert (estimated.layers, estimated.hidden) == (counted.layers, counted.hidden)
            assert estimated.cache_width == counted.cache_width


FAMILIES = ["gpt2", "mixtral", "qwen3_moe", "deepseek_v2", "mamba", "rwkv", "bloom", "gemma3_text"]


@pytest.mark.parametrize("architecture", FAMILIES)
def test_memory_is_not_asked_for_too_small_a_model(tmp_path: Path, architecture: str) -> None:
    architecture_config = AutoConfig.for_model(architecture)
    write_json(tmp_path / "models/smollm2-135m/pretrained/config.json", architecture_config.to_diff_dict())
    estimated = estimate_shape(basis_of("demo").config, "smollm2-135m", tmp_path)
    counted = shape_of(architecture, architecture_config)
    assert 0.9 < estimated.parameters / counted.parameters < 1.1
    assert estimated.cache_width == counted.cache_width


def test_a_prepared_model_with_other_keys_is_an_error_that_names_one(tmp_path: Path) -> None:
    write_json(tmp_path / "models/smollm2-135m/pretrained/config.json", {"model_type": "gpt2", "width": 768})
    with pytest.raises(UserError, match="has no key 'hidden_size'"):
        estimate_shape(basis_of("demo").config, "smollm2-135m", tmp_path)


def test_a_directory_without_a_configuration_is_named(tmp_path: Path) -> None:
    config = dict(basis_of("demo").config)
    config["models"] = {"mine": {"source": {"kind": "local", "path": str(tmp_path)}}}
    with pytest.raises(UserError, match="`mine` has no config.json") as caught:
        estimate_shape(config, "mine", NOWHERE)
    assert caught.value.where == str(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "single-gpu"])
def test_times_are_those_of_the_plan_and_the_start_of_a_job(preset: str) -> None:
    basis = basis_of(preset)
    starts = {TRAINS: ASSUMED["training_start_seconds"], ANSWERS: ASSUMED["answering_start_seconds"]}
    for job in plan_jobs(basis_of(preset, find_shape)):
        planned = (job.seconds["pcie"] or 0.0) + starts[kind_of(job.rule)]
        assert planned_seconds(basis, job.rule, job.model) == pytest.approx(planned, rel=0.02), job.name


def test_more_threads_take_less_time_and_other_rules_are_plain() -> None:
    basis = basis_of("demo")
    one, two = (
        planned_seconds(replace(basis, threads={"train_sft": threads}), "train_sft", "smollm2-135m")
        for threads in (1, 2)
    )
    start = ASSUMED["training_start_seconds"]
    assert one - start == pytest.approx(2 * (two - start))
    marker, task = (planned_seconds(basis, f"evaluate_{part}", "smollm2-135m") for part in ("marker", "task"))
    assert marker < task / 3
    assert planned_seconds(basis, "render_table3") == ASSUMED["plain_job_seconds"]
    assert planned_seconds(basis, "train_something", "smollm2-135m") == ASSUMED["plain_job_seconds"]


# --- what was seen ----------------------------------------------------------------------------------------------------


def seen(**pairs: tuple[float, float]) -> Seen:
    found = Seen.nothing()
    for kind, (planned, taken) in pairs.items():
        found.add(kind, planned, taken)
    return found


def test_a_kind_is_corrected_by_its_own_jobs_first_of_this_run() -> None:
    now, before = seen(training=(100, 150)), seen(training=(100, 300), answering=(10, 5))
    assert correction(TRAINS, now, before) == 1.5
    assert correction(ANSWERS, now, before) == 0.5
    assert correction(TRAINS, Seen.nothing(), before) == 3


def test_without_jobs_of_its_kind_those_with_a_model_tell_how_fast_the_machine_is() -> None:
    assert correction(ANSWERS, seen(training=(100, 150), other=(1, 9))) == 1.5
    assert correction(OTHER, seen(training=(100, 150))) == 1
    assert correction(TRAINS, Seen.nothing(), Seen.nothing()) == 1


# --- side by side -----------------------------------------------------------------------------------------------------


def test_jobs_share_cores_and_wait_for_each_other() -> None:
    tasks = {1: Task(10, {"_cores": 2}), 2: Task(4, {"_cores": 1}), 3: Task(4, {"_cores": 1}), 4: Task(1, {}, {1, 99})}
    assert makespan(tasks, {"_cores": 2}) == 14
    assert makespan(tasks, {"_cores": 4}) == 11
    assert makespan(tasks, {}) == 11
    assert makespan({}, {"_cores": 2}) == 0


def test_what_runs_holds_its_cores() -> None:
    tasks = {1: Task(10, {"_cores": 1}), 2: Task(3, {"_cores": 2}, running=True)}
    assert makespan(tasks, {"_cores": 2}) == 13


def test_a_job_that_asks_for_more_than_there_is_still_ends() -> None:
    assert makespan({1: Task(10, {"mem_mb": 9}), 2: Task(1, {"mem_mb": 1})}, {"mem_mb": 4}) == 11


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 4), st.sets(st.integers(0, 11))), min_size=1, max_size=12))
def test_the_end_lies_between_the_longest_chain_and_one_job_at_a_time(rows: list[tuple[float, int, set[int]]]) -> None:
    tasks = {
        number: Task(seconds, {"_cores": cores}, {before for before in waits if before < number})
        for number, (seconds, cores, waits) in enumerate(rows)
    }
    chains: dict[int, float] = {}
    for number, task in tasks.items():
        chains[number] = task.seconds + max((chains[before] for before in task.after), default=0.0)
    work = sum(task.seconds * task.needs["_cores"] for task in tasks.values())
    end = makespan(tasks, {"_cores": 4})
    assert max(*chains.values(), work / 4) <= end + 1e-6 if len(chains) > 1 else end == pytest.approx(rows[0][0])
    assert end <= sum(task.seconds for task in tasks.values()) + 1e-6
