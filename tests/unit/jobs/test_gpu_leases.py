"""Leases of GPUs."""

import os
from pathlib import Path

from common.jobs import gpu_leases
from common.jobs.console import Console


def test_lock_files_are_readable_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert gpu_leases.lease(["0"], 1, tmp_path / "leases", Console("test")) == ["0"]
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "leases").iterdir()} == {0o644}
