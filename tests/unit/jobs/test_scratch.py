"""Where resumable state lies: a file system must offer locks."""

import errno
import fcntl
from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.jobs.console import Console
from common.jobs.scratch import writer_lock


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_told(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(code, "no such call")

    monkeypatch.setattr(fcntl, "flock", fail)
    lock = tmp_path / "job/writer.lock"
    with (
        pytest.raises(UserError, match="the file system offers no locks") as caught,
        writer_lock(lock, Console("test")),
    ):
        pass
    assert caught.value.where == str(lock)
    assert "site.scratch" in caught.value.remedy
