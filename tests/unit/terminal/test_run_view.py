"""A run as one sees it: its lines, the time left, and for which method a job is done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.planning.schedule import Seen
from common.terminal.arms import served
from common.terminal.run_start import place
from common.terminal.run_view import RunJob, RunView, about, benchmark_seconds, places


def preset(name: str) -> dict[str, Any]:
    return load_configuration(ROOT / "config.yaml", [] if name == "demo" else [ROOT / f"config/{name}.yaml"], {})


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


def run_of(clock: Clock, **changes: Any) -> RunView:
    """A training of ten minutes, four answering jobs of five that wait for it, and a table."""
    cores = {"_cores": 2}
    jobs = {1: RunJob("train_coh m", "CoH", "training", 600.0, cores)}
    jobs |= {number: RunJob(f"evaluate_task {number}", "CoH", "answering", 300.0, {"_cores": 1}, frozenset({1}))
             for number in (2, 3, 4, 5)}  # fmt: skip
    jobs[6] = RunJob("render_table3", "SFT, CoH", "other", 1.0, {"_cores": 1}, frozenset({2, 3, 4, 5}))
    return RunView(jobs, cores, changes.get("before", Seen.nothing()), clock)


def test_a_run_is_told_in_lines(clock: Clock) -> None:
    run = run_of(clock)
    assert run.header("demo", "on 2 cores") == "Preset demo: 6 jobs, about 20 min on 2 cores."
    assert run.start(1) == "   0:00  start   train_coh m (CoH)"
    clock.now = 300
    assert about(run.left()) == "about 15 min"
    clock.now = 900  # half as much again as was planned, which tells how long the others take
    assert run.finish(1) == "  15:00  done    train_coh m (CoH) in 15:00; 1/6 jobs, about 15 min left"
    run.start(2)
    clock.now = 910
    assert run.fail(2, "logs/x.log") == "  15:10  failed  evaluate_task 2 (CoH); its log: logs/x.log"
    assert run.failure().splitlines() == [
        "error: 1 of 6 jobs failed, 1 that need them were not run; 1 are kept",
        "  where: evaluate_task 2: logs/x.log",
        "  what to do: what the message of the job says, then run the same command again",
    ]
    run.start(2)
    assert not run.failed


def test_what_waits_for_a_failed_job_takes_no_time(clock: Clock) -> None:
    run = run_of(clock)
    run.start(1)
    run.fail(1, "")
    assert run.left() == 0


def test_earlier_runs_tell_how_fast_the_machine_is_and_this_run_tells_better(clock: Clock) -> None:
    before = Seen.nothing()
    before.add("answering", 100, 50)
    run = run_of(clock, before=before)
    assert run.left() == 600 / 2 + 2 * 150 + 1
    run.start(1)
    clock.now = 600
    run.finish(1)
    assert run.left() == 2 * 150 + 1


def test_a_job_that_takes_longer_than_planned_is_about_to_end(clock: Clock) -> None:
    run = run_of(clock)
    run.start(1)
    clock.now = 5000
    assert run.left() == 2 * 300 + 1


def test_without_sizes_no_time_is_told(clock: Clock) -> None:
    run = RunView({1: RunJob("train_sft m", "SFT", "training", None)}, {}, Seen.nothing(), clock)
    assert run.header("my", "on 1 core") == "Preset my: 1 job on 1 core."
    run.start(1)
    assert run.finish(1) == "   0:00  done    train_sft m (SFT) in 0:00; 1/1 jobs"


def test_the_seconds_of_a_job_are_those_of_its_benchmark(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "all.tsv"
    run = RunView({1: RunJob("x", "RL", "other", 1.0, benchmark=str(path))}, {}, Seen.nothing(), clock)
    run.start(1)
    path.write_text("s\th:m:s\n75.25\t0:01:15\n")
    clock.now = 4000  # through a scheduler a job waits before it runs
    assert run.finish(1) == "1:06:40  done    x (RL) in 1:15; 1/1 jobs"
    for content in ("", "s\n", "s\nNA\tNA\n"):
        path.write_text(content)
        assert benchmark_seconds(str(path)) is None
    assert benchmark_seconds(str(tmp_path / "none.tsv")) is None


def test_times_are_no_more_exact_than_an_estimate() -> None:
    assert [about(seconds) for seconds in (20, 61, 1980, 5399, 5400, 20000, 80000)] == [
        "less than a minute", "about 1 min", "about 33 min", "about 90 min", "about 1.5 h", "about 5.6 h", "about 22 h",
    ]  # fmt: skip


def test_the_end_names_what_is_there(tmp_path: Path) -> None:
    assert places(str(tmp_path)) == []
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/table3.md").write_text("")
    assert places(str(tmp_path)) == ["Look first at", f"  {tmp_path}/tables/table3.md  Table 3: accuracy"]
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.html").write_text("")
    assert [line.split()[0] for line in places(str(tmp_path))[1:]] == [
        f"{tmp_path}/report/report.html", f"{tmp_path}/tables/table3.md",
    ]  # fmt: skip


def test_the_end_names_what_compares_where_results_are_expected(tmp_path: Path) -> None:
    for preset in ("demo", "other"):
        (tmp_path / preset / "tables").mkdir(parents=True)
        (tmp_path / preset / "tables/table3.md").write_text("")
    assert places(str(tmp_path / "demo"))[-1].startswith("Then `make verify PRESET=demo` says")
    assert places(str(tmp_path / "other"))[-1].startswith("  ")


def test_the_place_is_said_in_cores_or_gpus() -> None:
    assert place({"_cores": 1}, scheduled=False) == "on 1 core"
    assert place({"_cores": 8, "gpu": 8}, scheduled=False) == "on 8 GPUs"
    assert place({"_nodes": 100}, scheduled=True).startswith("of computing")


SERVED = {
    "SFT": [("train_sft", {"model": "m"}), ("evaluate_task", {"method": "sft"}), ("train_sft_best", {"model": "m"})],
    "CoH": [("train_coh", {}), ("evaluate_marker", {"method": "coh", "marker": "response"})],
    "RL": [("train_rl_sft", {}), ("train_reward", {}), ("train_ppo", {}), ("plot_training", {"method": "reward"}),
           ("sample_responses", {"method": "ppo"}), ("build_human_eval", {}), ("render_table4", {})],
    "DPO": [("train_dpo", {})],
    "base model": [("evaluate_task", {"method": "pretrained"})],
    "SFT, CoH": [("prepare_task", {"task": "sst2"}), ("render_table3", {})],
    "all methods": [("split_instructions", {}), ("build_report", {}), ("prepare_model", {"model": "llama-7b"})],
}  # fmt: skip


@pytest.mark.parametrize("whom", SERVED)
def test_a_job_names_the_method_it_serves(whom: str) -> None:
    config = preset("paper")
    for rule, wildcards in SERVED[whom]:
        known = {"model": "llama-7b", **wildcards} if "model" in wildcards else wildcards
        assert served(config, rule, known) == whom, rule
    assert served(config, "prepare_model", {"model": config["rl"]["actor"]}) == "RL"


def test_what_people_rate_names_the_methods_compared() -> None:
    config = preset("paper")
    config["human_eval"]["pairs"] = [
        {"model": "llama-7b", "first": first, "second": second}
        for first, second in (("pretrained", "coh"), ("coh", "ppo"))
    ]
    for rule in ("build_human_eval", "score_human_eval"):
        assert served(config, rule, {}) == "CoH, RL"
