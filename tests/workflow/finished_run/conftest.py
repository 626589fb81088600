"""The finished run that every test of this folder reads."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.workflow_runs import SMOKE, copy_project, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the smoke preset has run: once for all processes, of which each has a copy.

    Beside it reads.txt, what its jobs read, and terminal.txt, what one saw.
    """
    own = tmp_path_factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made"
    made.mkdir(exist_ok=True)
    with open(made / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "run" / "terminal.txt").exists():
            project = copy_project(made / "run" / "project")
            shown = snakemake(project, "--configfile", SMOKE, record_reads=project.with_name("reads.txt"))
            project.with_name("terminal.txt").write_text(shown, encoding="utf-8")
    subprocess.run(["cp", "--archive", made / "run", own / "run"], check=True)  # with its hard links
    return own / "run" / "project"


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))
