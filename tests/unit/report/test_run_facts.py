"""Facts of a run: what is one, what is none, and what is refused."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from common.base.errors import UserError
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import write_record
from common.report.run_facts import read_facts, run_facts
from support.small_run import write_small_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_small_run(tmp_path / "demo")


def test_what_lies_behind_the_tables_is_told(results: Path) -> None:
    facts = run_facts(results)
    assert facts["preset"] == "demo"
    assert facts["models"].keys() == {
        f"models/m/{name}" for name in ("pretrained", "sft", "coh", "rl_sft", "reward", "ppo")
    }
    assert facts["models"]["models/m/reward"]["heldout"] == {
        "held-out loss before": 2.5,
        "held-out loss after": 2.0,
        "held-out pair accuracy": 0.7,
    }
    assert facts["scores"].keys() == {"eval/m/pretrained/sst2/k0_seed0", "eval/m/coh/sst2/k0_seed0"}
    assert facts["scores"]["eval/m/coh/sst2/k0_seed0"]["verdicts"]["strict"] == "1" * 40
    assert list(facts["items"]["sst2"]) == [str(number) for number in range(40)]
    assert len(set(facts["items"]["sst2"].values())) == 40
    assert facts["samples"].keys() == {"samples/m/ppo"}
    assert facts["tables"].keys() == {"table1", "table3", "table4", "costs"}
    assert facts["tables"]["table3"]["cells"]["table3/m/coh/sst2/k0"] == ["100.0", "40", "eval/m/coh/sst2/k0_seed*"]


def test_equal_runs_have_equal_facts_however_long_they_took(results: Path, tmp_path: Path) -> None:
    assert run_facts(write_small_run(tmp_path / "other/demo", seconds=99.0)) == run_facts(results)
    assert run_facts(write_small_run(tmp_path / "another/demo", learning_rate=2e-4)) != run_facts(results)


def test_other_bytes_of_the_same_rows_are_no_other_data(results: Path) -> None:
    before, path = run_facts(results), results / "data/splits/coh.parquet"
    content = path.read_bytes()
    pd.DataFrame(read_parquet(path)).to_parquet(path, compression="gzip")
    assert path.read_bytes() != content
    assert run_facts(results) == before
    rows = read_parquet(path)
    write_parquet(path, [rows[1], rows[0], *rows[2:]], tuple(rows[0]))
    assert run_facts(results)["data"]["splits/coh"] != before["data"]["splits/coh"]


def test_what_another_configuration_left_is_no_fact(results: Path) -> None:
    before = run_facts(results)
    shutil.copytree(results / "eval/m/coh", results / "eval/m/dpo")
    shutil.copytree(results / "models/m/coh", results / "models/m/dpo")
    shutil.copy(results / "tables/table3_cells.csv", results / "tables/markers_cells.csv")
    assert run_facts(results) == before


@pytest.mark.parametrize(
    "name",
    ["tables/cells.csv", "tables/table3.csv", "tables/table3_cells.csv", "eval/m/coh/sst2",
     "eval/m/coh/sst2/k0_seed0.json", "eval/m/coh/sst2/k0_seed0.parquet", "models/m/coh",
     "models/m/pretrained/run.json", "samples/m/ppo.parquet", "data/instructions.parquet",
     "data/tasks/sst2/train.parquet"],
)  # fmt: skip
def test_a_run_that_is_not_finished_is_refused(results: Path, name: str) -> None:
    path = results / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match="there is no finished run") as caught:
        run_facts(results)
    assert "make run PRESET=demo" in caught.value.remedy


def test_scores_of_other_items_than_those_beside_them_are_refused(results: Path) -> None:
    path = results / "eval/m/coh/sst2/k0_seed0.parquet"
    rows = read_parquet(path)
    write_parquet(path, rows[1:], tuple(rows[0]))
    with pytest.raises(UserError, match="the score files of sst2 have different items"):
        run_facts(results)


def test_a_file_without_its_columns_is_refused(results: Path) -> None:
    path = results / "eval/m/coh/sst2/k0_seed0.parquet"
    write_parquet(path, read_parquet(path), ("id", "correct"))
    with pytest.raises(UserError, match="lacks the columns correct_likelihood, correct_strict, prompt_hash"):
        run_facts(results)


def test_kept_facts_come_back_or_are_refused(results: Path, tmp_path: Path) -> None:
    facts, path = run_facts(results), tmp_path / "facts.json"
    write_record(path, facts)
    assert {key: value for key, value in read_facts(path).items() if key in facts} == facts
    path.write_text(path.read_text().replace('"demo"', '"omed"'))
    with pytest.raises(UserError, match="was changed after it was written"):
        read_facts(path)
    write_record(path, {**facts, "format": 0})
    with pytest.raises(UserError, match="are not of format 1"):
        read_facts(path)
