"""A fresh clone and an archive give all tables and the report."""

import shutil
from pathlib import Path

from project_copy import copy_project

import archive_results
import restore_results
from support.workflow_runs import SMOKE, planned, snakemake


def test_a_fresh_clone_renders_everything_from_an_archive_without_training(finished: Path, tmp_path: Path) -> None:
    archive = ["--archive", str(tmp_path / "smoke.tar")]
    packed = ["--results", str(finished / "results/smoke"), "--output", archive[1]]
    assert archive_results.main(packed) == 0
    clone = copy_project(tmp_path / "clone")
    assert restore_results.main([*archive, "--results", str(clone / "results/smoke")]) == 0
    assert not list((clone / "results").rglob("*.safetensors"))
    shutil.rmtree(clone / "results/smoke/tables")
    shutil.rmtree(clone / "results/smoke/figures")
    (clone / "results/smoke/report/report.html").unlink()
    snakemake(clone, "--touch", "--configfile", SMOKE)
    jobs = planned(clone)
    assert {"render_table3", "render_figures", "build_report"} <= jobs.keys()
    assert not {rule for rule in jobs if rule.startswith(("train_", "evaluate_", "prepare_", "sample_", "download_"))}
    snakemake(clone, "--configfile", SMOKE)
    for name in ("table1.md", "table2.md", "table3.csv", "table4.tex", "paired.csv", "sensitivity.html", "cells.csv"):
        made, again = (folder / "results/smoke/tables" / name for folder in (finished, clone))
        assert made.read_bytes() == again.read_bytes(), name
    assert (clone / "results/smoke/report/report.html").exists()
    assert planned(clone) == {}
