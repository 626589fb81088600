"""How many CPU threads a job takes."""

import pytest

from common.config.machine_settings import job_threads


@pytest.mark.parametrize(
    ("asked", "cores", "threads"), [(None, 1, 1), (None, 2, 1), (None, 8, 2), (None, None, 1), (3, 8, 3), (3, 2, 3)]
)
def test_a_job_takes_what_is_configured_or_a_quarter_of_the_cores(
    asked: int | None, cores: int | None, threads: int
) -> None:
    assert job_threads(asked, cores) == threads
