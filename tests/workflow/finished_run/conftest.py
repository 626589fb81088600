"""The finished run that every test of this folder reads."""

from pathlib import Path

import pytest

from support.workflow_runs import SMOKE, copy_project, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the smoke preset has run, once.

    Beside it reads.txt, what its jobs read, and terminal.txt, what one saw.
    """
    project = copy_project(tmp_path_factory.mktemp("run") / "project")
    shown = snakemake(project, "--configfile", SMOKE, record_reads=project.with_name("reads.txt"))
    project.with_name("terminal.txt").write_text(shown, encoding="utf-8")
    return project
