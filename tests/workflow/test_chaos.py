"""The short form of `make chaos`: one kill of each kind, in a part of the smoke preset."""

import re
import subprocess
import sys

import pytest

from common.base.paths import ROOT


@pytest.mark.full
def test_killed_again_and_again_the_tables_are_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "tools/chaos.py", "--short", "--seed", "7"], cwd=ROOT, capture_output=True, text=True,
        timeout=1700, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed, the whole tree: train_sft 1, train_ppo 1, evaluate_task 1" in done.stdout
    assert "killed, Snakemake alone: train_sft 1" in done.stdout
    assert "killed, during a write: train_sft 0, train_ppo 1" in done.stdout
    seen, violations = map(
        int, re.findall(r"writers seen (\d+) times, two at once or without the lock (\d+)", done.stdout)[0]
    )
    compared, differing = map(int, re.findall(r"files compared (\d+), differences (\d+)", done.stdout)[0])
    assert seen > 0
    assert compared > 20
    assert (violations, differing) == (0, 0)
