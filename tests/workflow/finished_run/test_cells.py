"""Every cell of every table of a whole run: computed a second time, and followed to code, configuration and data."""

import shutil
from pathlib import Path

import pytest

import trace_cell
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.data.rows import read_rows
from support import independent_cells
from support.workflow_runs import SMOKE

CONFIG = load_configuration(ROOT / "config.yaml", [ROOT / SMOKE], {})
TABLES = {"table1", "table2", "table3", "table4", "sensitivity", "paired", "markers", "comparison", "human_eval",
          "table5", "costs"}  # fmt: skip


def test_every_cell_comes_out_the_same_from_the_predictions(finished: Path) -> None:
    count, wrong = independent_cells.check(finished / "results/smoke", CONFIG)
    assert wrong == []
    assert count > 600


def test_a_changed_cell_and_a_changed_answer_are_noticed(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "smoke"
    shutil.copytree(
        finished / "results/smoke", results, ignore=shutil.ignore_patterns("*.safetensors", "scratch", "logs")
    )
    cells = results / "tables/cells.csv"
    text = cells.read_text()
    line = next(line for line in text.splitlines() if line.startswith("table4/tiny-opt-actor/ppo,"))
    cells.write_text(text.replace(line, line.replace(line.split(",")[4], "7.0000")))
    shutil.copy(
        results / "eval/tiny-opt/sft/mnli/k0_seed0.parquet", results / "eval/tiny-opt/coh/mnli/k0_seed0.parquet"
    )
    _, wrong = independent_cells.check(results, CONFIG)
    named = {problem.split()[0] for problem in wrong}
    assert "table4/tiny-opt-actor/ppo" in named
    assert any(name.startswith(("table3/tiny-opt/coh/mnli/k0", "sensitivity/tiny-opt/coh/")) for name in named)


def test_every_cell_can_be_followed_to_code_configuration_and_data(finished: Path) -> None:
    results = finished / "results/smoke"
    rows = [row for _, row in read_rows(results / "tables/cells.csv")]
    assert {row["table"] for row in rows} == TABLES
    for row in rows:
        name, told = row["cell"], "\n".join(trace_cell.Trace(results).cell(row["cell"]))
        assert told.startswith(f"{name} = "), name
        assert f"tables/{row['table']}.json" in told, name
        assert "configuration " in told, name
        assert "data/splits/manifest.json" in told, name
        folders = {part.strip().split("/")[0] for part in row["source"].split(";")}
        if folders & {"eval", "markers"}:
            for part in (
                "rule evaluate_task",
                "predictions, the first:",
                "/pretrained: weights",
                "summary.json",
                "input eval: sha256",
            ):
                assert part in told, (name, part)
        elif "models" in folders:
            assert "/pretrained: weights" in told, name
        elif folders == {"resources"}:
            assert "published: sha256" in told, name
        else:
            assert "predictions, the first:" in told, name


def test_a_paired_cell_is_followed_to_its_two_methods_alone(finished: Path) -> None:
    told = "\n".join(trace_cell.Trace(finished / "results/smoke").cell("paired/tiny-opt/coh-sft/sst2/k1"))
    assert told.count("rule evaluate_task") == 6
    assert "eval/tiny-opt/pretrained" not in told


def test_an_unknown_cell_names_its_neighbours(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--results", str(finished / "results/smoke"), "--cell", "table3/tiny-opt/coh/sst/k1"]
    assert trace_cell.main(command) == 2
    assert "table3/tiny-opt/coh/sst2/k1" in capsys.readouterr().err
