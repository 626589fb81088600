"""The finished run that every test of this folder reads."""

import fcntl
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project_copy import copy_project

from common.files.whole_files import sha256_of_file, sha256_of_text
from support.workflow_runs import SMOKE, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A copy of the project in which the smoke preset has run.

    Beside it reads.txt, what its jobs read, and terminal.txt, what one saw. The run is made once for all processes, and
    kept for the next session as long as no file of the project changes.
    """
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    kept = pytestconfig.cache.mkdir("finished_run")
    with open(kept / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = kept / digest_of(project)
        if not made.exists():
            for older in filter(Path.is_dir, kept.iterdir()):
                shutil.rmtree(older)
            shown = snakemake(project, "--configfile", SMOKE, record_reads=project.with_name("reads.txt"))
            project.with_name("terminal.txt").write_text(shown, encoding="utf-8")
            subprocess.run(["cp", "--archive", project.parent, made.with_suffix(".part")], check=True)
            made.with_suffix(".part").rename(made)
        else:
            shutil.rmtree(project.parent)
            subprocess.run(["cp", "--archive", made, project.parent], check=True)  # with its hard links
    return project


def digest_of(project: Path) -> str:
    """Of all files of a fresh copy, of the machine and of Python, whose packages the lock file names."""
    files = [(str(path.relative_to(project)), sha256_of_file(path)) for path in project.rglob("*") if path.is_file()]
    return sha256_of_text(json.dumps([sorted(files), platform.node(), sys.version]))[:16]


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))
