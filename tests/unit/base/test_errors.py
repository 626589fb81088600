"""Errors for people: what is explained, and what stays a bug."""

import errno
import os

import pytest

from common.base.errors import EXIT_MACHINE, Resumable, UserError, explain


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_machine_errors_are_explained(number: int, what: str) -> None:
    explained = explain(OSError(number, os.strerror(number), "/data/results/file"))
    assert explained is not None
    assert (explained.what, explained.where, explained.code) == (what, "/data/results/file", EXIT_MACHINE)
    assert explained.remedy.endswith("then run again")


def test_lack_of_memory_is_explained() -> None:
    device_error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory.\nTried to allocate 2 GiB")
    for error, where in ((MemoryError(), ""), (device_error, "CUDA out of memory.")):
        explained = explain(error)
        assert explained is not None
        assert (explained.what, explained.where, explained.code) == ("out of memory", where, EXIT_MACHINE)
        assert "per_device_batch_size" in explained.remedy


@pytest.mark.parametrize(
    "error",
    [type("DistBackendError", (RuntimeError,), {})("NCCL error: remote process exited"),
     RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234")],
)  # fmt: skip
def test_a_lost_process_is_told_by_those_that_are_left(error: Exception) -> None:
    explained = explain(error)
    assert explained is not None
    assert (explained.what, explained.code) == ("another process of this job is gone", EXIT_MACHINE)


def test_bugs_are_not_explained_and_user_errors_stay_themselves() -> None:
    assert explain(ValueError("x")) is None
    assert explain(OSError(errno.EBADF, "bad file descriptor")) is None
    told = UserError("what", "where", "remedy")
    assert explain(told) is told


def test_resumable_says_how_to_go_on() -> None:
    assert "run the same command again to resume" in str(Resumable("stopped", "step 5"))
