"""What a job tells people while it runs."""

import pytest

from common.jobs.console import Console, Progress, format_seconds

CONSOLE = Console("test")


def test_progress_shows_rate_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(CONSOLE, 40, "items", done=10)
    progress.update(20)
    progress.update(40, "loss 1.5")
    assert capsys.readouterr().err == "[test] [####################] 40/40 items  loss 1.5\n"
    assert [format_seconds(value) for value in (0, 75.2, 3700)] == ["0:00", "1:15", "1:01:40"]
