"""What one sees while the smoke preset runs: lines for people, and of no library."""

import re
from collections import Counter
from pathlib import Path

import pytest

from support.workflow_runs import rules_run

TIME = r"(?:\d+:)?\d+:\d\d"
ABOUT = r"(?:about [\d.]+ (?:min|h)|less than a minute)"
JOB = rf" *{TIME}  {{state}} +(?P<name>\w+(?: [\w-]+)?) \((?P<serves>[\w, ]+)\)"
START = re.compile(JOB.format(state="start") + "$")
DONE = re.compile(JOB.format(state="done") + rf" in {TIME}; (?P<done>\d+)/(?P<all>\d+) jobs(?:, {ABOUT} left)?$")
SAID = re.compile(r"\[(?P<name>[a-z_0-9]+(?: [\w-]+)?)\] .")
FIRST = re.compile(rf"Preset smoke: (\d+) jobs, {ABOUT} on \d+ cores\.$")
# Snakemake says these two before the workflow is read.
BEFORE = re.compile(r"Using workflow specific profile profiles/default|Config file config\.yaml is extended")
LAST = [
    re.compile(pattern)
    for pattern in (
        rf"Preset smoke: all done in {TIME}\.$", "Look first at$", "  results/smoke/report/report.html +report page",
        "  results/smoke/tables/table3.md +Table 3",
        r"Complete log\(s\): ",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def shown(finished: Path) -> list[str]:
    return finished.with_name("terminal.txt").read_text(encoding="utf-8").splitlines()


def test_every_line_is_for_people(shown: list[str]) -> None:
    known = (BEFORE, FIRST, START, DONE, SAID, *LAST)
    assert [line for line in shown if not any(pattern.match(line) for pattern in known)] == []


def test_it_begins_with_what_there_is_to_do_and_ends_with_where_to_look(shown: list[str]) -> None:
    [begun] = [number for number, line in enumerate(shown) if FIRST.match(line)]
    assert all(BEFORE.match(line) for line in shown[:begun])
    assert all(pattern.match(line) for pattern, line in zip(LAST, shown[-len(LAST) :], strict=True))


def test_each_job_starts_and_ends_once(finished: Path, shown: list[str]) -> None:
    started = [match["name"] for line in shown if (match := START.match(line))]
    ended = [match for line in shown if (match := DONE.match(line))]
    assert Counter(started) == Counter(match["name"] for match in ended)
    assert len(set(started)) == len(started)
    assert sorted(name.split()[0] for name in started) == sorted(
        rule for rule in rules_run(finished, shown[-1]) if rule != "all"
    )
    assert [int(match["done"]) for match in ended] == list(range(1, len(started) + 1))
    assert {int(match["all"]) for match in ended} == {len(started)}
    assert {match["name"] for line in shown if (match := SAID.match(line))} <= set(started)


def test_each_job_names_whom_it_serves(shown: list[str]) -> None:
    serves = {match["name"]: match["serves"] for line in shown if (match := START.match(line))}
    expected = {
        "train_sft tiny-llama": "SFT", "train_coh tiny-opt": "CoH", "train_ppo tiny-opt-actor": "RL",
        "train_reward tiny-opt": "RL", "evaluate_task tiny-llama_pretrained": "base model",
        "evaluate_task tiny-opt_coh": "CoH", "evaluate_marker tiny-llama_coh_response": "CoH",
        "prepare_model tiny-opt-actor": "RL", "prepare_model tiny-llama": "all methods", "render_table3": "SFT, CoH",
        "render_table4": "RL", "build_report": "all methods",
    }  # fmt: skip
    for begins, whom in expected.items():
        assert {served for name, served in serves.items() if name.startswith(begins)} == {whom}, begins
