"""`make verify` on a whole run: equal ones, a changed setting, a flipped verdict, another CPU, archives."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import archive_results
import collect_facts
import verify_run
from common.files.whole_files import RECORD_HASH, sha256_of_file, write_record
from common.report.run_facts import read_facts
from support.workflow_runs import SMOKE, rules_run, snakemake

TABLES = ("table1", "table2", "table3", "table4", "human_eval", "sensitivity", "paired", "comparison", "markers",
          "table5", "costs")  # fmt: skip
SCORE = "eval/tiny-opt/coh/mnli/k1_seed2"
FACTS = "results/smoke/report/facts.json"
COH = "models/tiny-llama/coh"


@pytest.fixture(scope="module")
def expected(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The facts of the finished run, as `make expected` keeps them."""
    folder = tmp_path_factory.mktemp("expected") / "smoke"
    told = ["--settings", "{}", "--results", str(finished / "results/smoke"), "--output", str(folder / "facts.json")]
    assert collect_facts.main(told) == 0
    return folder


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of the results that a test may change."""
    left_out = shutil.ignore_patterns("*.safetensors", "scratch", "logs", "report")
    return Path(shutil.copytree(finished / "results/smoke", tmp_path / "smoke", ignore=left_out))


def verify(results: Path, *other: str | Path) -> int:
    return verify_run.main(["--results", str(results), *map(str, other)])


def outcomes(told: str) -> dict[str, str]:
    """The outcome of each table."""
    return dict(re.findall(r"^(\w+) {2,}(\w.*)$", told, re.MULTILINE))


def flip(results: Path, consistently: bool) -> str:
    """Turn over the verdict on the third item of a score file, and what its record says of it; the item's id."""
    path, record = results / f"{SCORE}.parquet", results / f"{SCORE}.json"
    rows = pd.read_parquet(path)
    rows.loc[2, "correct"] = not rows.loc[2, "correct"]
    rows.to_parquet(path)
    if consistently:
        score = {key: value for key, value in json.loads(record.read_text()).items() if key != RECORD_HASH}
        score |= {"correct": int(rows["correct"].sum()), "rows_sha256": sha256_of_file(path)}
        write_record(record, score)
    return str(rows.loc[2, "id"])


def test_a_fresh_run_is_identical(finished: Path, expected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(finished / "results/smoke", "--expected", expected) == 0
    told = capsys.readouterr().out
    assert outcomes(told) == dict.fromkeys(TABLES, "identical")
    assert "train_sft, train_coh, train_rl_sft, train_reward, train_ppo, answers, samples, tables\n" in told
    assert told.endswith("in all: identical\n")


@pytest.mark.parametrize("consistently", [False, True])
def test_a_flipped_verdict_is_named(
    results: Path, expected: Path, consistently: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    item = flip(results, consistently)
    assert verify(results, "--expected", expected) == 1
    told, error = capsys.readouterr()
    kept = read_facts(expected / "facts.json")["items"]["mnli"][item]
    assert f"  1 of 1008 verdicts differ\n    {SCORE} item {item} ({kept}) (generation)\n" in told
    assert f"they part at answers: {SCORE}\n  the verdict on item {item} ({kept}) (generation)\n" in told
    assert "the same: instructions, splits, questions, prompts, base models, train_sft, train_coh," in told
    assert {name for name, outcome in outcomes(told).items() if outcome == "differs"} == {
        "table3", "sensitivity", "paired", "comparison", "markers", "table5"
    }  # fmt: skip
    assert error.startswith(f"error: the runs differ\n  where: from answers on: {SCORE}\n")


def test_the_rule_keeps_the_same_facts_and_reads_what_it_declares(
    project: Path, expected: Path, tmp_path: Path
) -> None:
    snakemake(project, FACTS, "--configfile", SMOKE, record_reads=tmp_path / "reads.txt")
    assert rules_run(project) == ["collect_facts"]
    made, kept = read_facts(project / FACTS), read_facts(expected / "facts.json")
    own = {"provenance", RECORD_HASH}
    assert {**made, **dict.fromkeys(own)} == {**kept, **dict.fromkeys(own)}
    lines = (tmp_path / "reads.txt").read_text(encoding="utf-8").splitlines()
    read = {path for path in (line.split("\t")[1] for line in lines) if (project / path).is_file()}
    read = {path for path in read if path.startswith("results/smoke/") and "/logs/" not in path}
    plan = snakemake(project, FACTS, "--dry-run", "--forcerun", "collect_facts", "--configfile", SMOKE)
    declared = set(re.search(r"rule collect_facts:\n    input: (.*)\n", plan)[1].split(", "))
    assert {name for name in declared if any(f"{path}/".startswith(f"{name}/") for path in read)} == declared
    assert {path for path in read if not any(f"{path}/".startswith(f"{name}/") for name in declared)} == set()


def test_a_changed_learning_rate_is_named_with_its_training(
    project: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project / SMOKE
    before, after = "  coh:\n    training:\n      epochs: 1\n      learning_rate: ", "1.0e-3"
    assert config.read_text().count(before + after) == 1
    config.write_text(config.read_text().replace(before + after, f"{before}2.0e-3"))
    snakemake(project, f"results/smoke/{COH}", "--configfile", SMOKE)
    assert rules_run(project) == ["train_coh"]
    assert verify(project / "results/smoke", "--expected", expected) == 1
    told = capsys.readouterr().out
    assert "the same: instructions, splits, questions, prompts, base models, train_sft\n" in told
    assert f"they part at train_coh: {COH}\n  training.learning_rate is 0.002 here and 0.001 there\n" in told


def test_another_cpu_is_told_from_a_difference(
    results: Path, expected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = read_facts(expected / "facts.json")
    facts["machines"][0]["cpu_capability"] = "another"
    facts["models"][COH]["weights"] = "other bits"
    write_record(tmp_path / "other/smoke/facts.json", {key: facts[key] for key in facts if key != RECORD_HASH})
    other = ("--expected", tmp_path / "other/smoke")
    assert verify(results, *other) == 0
    told = capsys.readouterr().out
    assert outcomes(told) == dict.fromkeys(TABLES, "identical")
    assert f"they part at train_coh: {COH}\n  other weights\nmachines and software: cpu_capability is " in told
    assert told.endswith("in all: differs within what another CPU may change\n")
    flip(results, consistently=True)
    assert verify(results, *other) == 0
    assert outcomes(capsys.readouterr().out)["table3"] == "differs within what another CPU may change"


def test_runs_and_archives_are_compared_in_the_same_way(
    finished: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, run = tmp_path / "packed.tar", finished / "results/smoke"
    assert archive_results.main(["--results", str(results), "--output", str(archive)]) == 0
    flip(results, consistently=True)
    for here, there, code in ((archive, run, 0), (results, archive, 1), (results, run, 1)):
        assert verify(here, "--against", there) == code, (here, there)
    assert capsys.readouterr().out.count(f"they part at answers: {SCORE}\n") == 2
