"""Programs for people that are called with what is not there."""

from pathlib import Path

import pytest

import archive_results
import show_prompts
import trace_cell
import verify_run
from common.files.parquet import read_parquet, write_parquet
from support import independent_cells
from support.small_run import write_small_run


def trace(results: Path, cell: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = trace_cell.main(["--results", str(results), "--cell", cell])
    return code, capsys.readouterr().err


def test_trace_without_results_says_what_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = trace(tmp_path / "smoke", "table3/a/b/c/k0", capsys)
    assert code == 2
    assert "make run PRESET=smoke" in told


def test_trace_without_a_cell_gives_an_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo/tables").mkdir(parents=True)
    (tmp_path / "demo/tables/cells.csv").write_text("cell,value\ntable1/x,1\ntable3/m/sft/sst2/k0,50\n")
    code, told = trace(tmp_path / "demo", "", capsys)
    assert code == 2
    assert "CELL=table3/m/sft/sst2/k0" in told


@pytest.mark.parametrize(("option", "value"), [("--k", "-1"), ("--k", "one"), ("--method", "cho")])
def test_prompts_of_what_is_not_known_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"--task": "sst2", "--k": "1", "--method": "coh", option: value}
    with pytest.raises(SystemExit) as caught:
        show_prompts.main([word for pair in options.items() for word in pair])
    assert caught.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nowhere"]])
def test_cells_of_no_results_are_told_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        independent_cells.main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def verify(results: Path, *other: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = verify_run.main(["--results", str(results), *other])
    return code, capsys.readouterr().err


def test_a_run_to_verify_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = verify(tmp_path / "smoke", "--expected", str(tmp_path / "expected/smoke"), capsys=capsys)
    assert code == 2
    assert "make run PRESET=smoke" in told


def test_where_no_results_are_expected_another_run_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = write_small_run(tmp_path / "smoke")
    code, told = verify(results, "--expected", str(tmp_path / "expected/smoke"), capsys=capsys)
    assert code == 2
    assert f"no expected results are kept for this preset\n  where: {tmp_path}/expected/smoke/facts.json" in told
    assert "make verify AGAINST=" in told


def test_another_run_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_small_run(tmp_path / "smoke")
    code, told = verify(results, "--against", str(tmp_path / "other.tar"), capsys=capsys)
    assert code == 2
    assert f"there is no such run\n  where: {tmp_path}/other.tar" in told


def test_runs_of_two_presets_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = (write_small_run(tmp_path / name) for name in ("smoke", "demo"))
    code, told = verify(here, "--against", str(there), capsys=capsys)
    assert code == 2
    assert "two presets cannot be compared: `smoke` and `demo`" in told


def test_an_archive_of_an_unfinished_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = write_small_run(tmp_path / "smoke"), write_small_run(tmp_path / "other/smoke")
    (there / "samples/m/ppo.json").unlink()
    archive = tmp_path / "other.tar"
    assert archive_results.main(["--results", str(there), "--output", str(archive)]) == 0
    code, told = verify(here, "--against", str(archive), capsys=capsys)
    assert code == 2
    assert f"where: {archive}/samples/m/ppo.json" in told


def test_more_than_a_few_differences_are_counted_or_shown_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = write_small_run(tmp_path / "smoke"), write_small_run(tmp_path / "other/smoke")
    answers = here / "eval/m/coh/sst2/k0_seed0.parquet"
    rows = [{**row, "correct": False} for row in read_parquet(answers)]
    write_parquet(answers, rows, tuple(rows[0]))
    shown = []
    for more in ([], ["--all"]):
        assert verify_run.main(["--results", str(here), "--against", str(there), *more]) == 1
        shown.append(capsys.readouterr().out)
    assert "  40 of 80 verdicts differ\n" in shown[0]
    assert "and 35 more, which --all shows" in shown[0]
    assert shown[0].count("k0_seed0 item ") == 5
    assert shown[1].count("k0_seed0 item ") == 40
