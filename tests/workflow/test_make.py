"""What make says before anything runs, and programs whose output is cut short."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.base.paths import ROOT

TYPED_WRONG = {
    "a preset": ("PRESET=smok", "there is no preset `smok`", "config/smok.yaml"),
    "the schema as a preset": ("PRESET=schema", "there is no preset `schema`", "config/schema.yaml"),
    "a profile": ("PROFILE=profiles/slrum", "there is no profile `profiles/slrum`", "profiles/slrum/config.yaml"),
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a fresh clone as make looks at first."""
    for name in ("config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["setup", "run", "plan", "preflight", "report", "readme", "verify", "restore"])
@pytest.mark.parametrize("name", TYPED_WRONG)
def test_a_typo_is_told_before_anything_happens(clone: Path, target: str, name: str) -> None:
    argument, what, where = TYPED_WRONG[name]
    code, told = make(clone, target, argument, "PYTHON=false")
    assert code == 2
    assert f"error: {what}" in told
    assert where in told
    assert "smoke" in told if argument.startswith("PRESET") else "profiles/slurm" in told
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("target", "asked"), [("setup", "downloads"), ("preflight", "results/demo/report/machine.json")]
)
def test_targets_are_not_taken_for_resources(clone: Path, target: str, asked: str) -> None:
    """Snakemake's --resources takes every word up to the next option."""
    commands = make(clone, "--dry-run", target)[1]
    assert re.search(
        rf"snakemake +--cores all --resources mem_mb=\d+ --workflow-profile profiles/default {re.escape(asked)} ",
        commands,
    )
    assert "--resources" not in make(clone, "--dry-run", target, "PROFILE=profiles/slurm")[1]


def test_verify_takes_the_kept_results_or_another_run(clone: Path) -> None:
    kept = make(clone, "--dry-run", "verify", "PRESET=smoke")[1]
    assert "verify_run.py --results results/smoke \\\n  --expected resources/expected/smoke" in kept
    other = make(clone, "--dry-run", "verify", "AGAINST=other run.tar", "ALL=1")[1]
    assert '--results results/demo \\\n  --against "other run.tar" --all' in other


def test_a_preset_of_ones_own_is_known(clone: Path) -> None:
    (clone / "config/my.yaml").write_text("preset: my\n")
    assert make(clone, "known", "PRESET=my", "PROFILE=profiles/local-gpu")[0] == 0


def test_a_python_that_is_not_there_is_told(clone: Path) -> None:
    code, told = make(clone, "setup", "PYTHON=/nonexistent")
    assert code == 2
    assert "error: there is no program `/nonexistent`" in told
    assert "PYTHON=/path/to/python3.12" in told


def test_help_names_every_target(clone: Path) -> None:
    code, told = make(clone, "help")
    assert code == 0
    assert all(
        f"make {name} " in told
        for name in ("run", "check", "test", "test-full", "plan", "report", "trace", "verify", "chaos", "clean", "help")
    )


# --- output that nobody reads ------------------------------------------------------------------------------------

PRINTS = """
import argparse, sys
sys.path.insert(0, "scripts")
from common.jobs.console import run_entry_point
def work(arguments, console):
    for number in range({lines}):
        print(number)
    {then}
parser = argparse.ArgumentParser()
parser.set_defaults(log=None{settings})
sys.exit(run_entry_point(parser, work, []))
"""


def closed_output(*command: str) -> tuple[int, str]:
    """Exit code and errors of a program whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *command], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=120, check=False
    )
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_leaves_ends_a_printing_program_quietly(lines: int) -> None:
    assert closed_output("-c", PRINTS.format(lines=lines, then="", settings="")) == (0, "")


def test_a_job_whose_pipe_breaks_does_not_end_well() -> None:
    code, told = closed_output("-c", PRINTS.format(lines=1, then="raise BrokenPipeError", settings=", settings={}"))
    assert code != 0
    assert "BrokenPipeError" in told


def test_prompts_may_be_cut_short() -> None:
    assert closed_output("scripts/show_prompts.py", "--task", "sst2", "--k", "1") == (0, "")


def test_make_clean_keeps_ratings(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    rating = tmp_path / "resources/human_eval/ratings/demo/rating_heron.json"
    made = tmp_path / "results/demo/human_eval/items.json"
    for path in (rating, made):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert rating.exists()
    assert not made.exists()
