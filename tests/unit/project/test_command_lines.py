"""Programs for people that are called with what is not there."""

from pathlib import Path

import pytest

import show_prompts
import trace_cell
from support import independent_cells


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
