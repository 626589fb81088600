"""The tests themselves: what stands in which folder, and what a file may import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.base.paths import ROOT, SCRIPTS

TESTS = ROOT / "tests"
FOLDERS = {"unit", "runs", "workflow", "browser", "cluster"}
OF_ITS_OWN = "project"  # tests of the repository's own files
PROCESSES = {"subprocess", "multiprocessing", "support.forked", "support.training_runs", "support.workflow_runs"}


def imported(path: Path) -> Iterator[str]:
    """Modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files(folder: str) -> list[Path]:
    return sorted((TESTS / folder).rglob("*.py"))


def test_every_file_stands_in_a_folder_that_says_how_it_tests() -> None:
    assert {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")} == FOLDERS
    rooms = {path.name for path in (SCRIPTS / "common").iterdir() if path.is_dir()}
    assert {path.relative_to(TESTS / "unit").parts[0] for path in files("unit")} <= rooms | {OF_ITS_OWN}


@pytest.mark.parametrize("folder", sorted(FOLDERS | {"support"}))
def test_no_test_imports_from_another(folder: str) -> None:
    for path in files(folder):
        found = [name for name in imported(path) if name.split(".")[0].startswith(("test_", "conftest", "tests"))]
        assert found == [], path


def test_unit_tests_start_no_process() -> None:
    for path in files("unit"):
        assert PROCESSES.isdisjoint(imported(path)), path
