"""A probe of a machine: on two CPU ranks and in one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.base.paths import ROOT
from common.planning.hardware import load_assumptions


@pytest.mark.full
@pytest.mark.parametrize("processes", [1, 2])
def test_the_smoke_preset_is_probed_on_cpu_ranks(tmp_path: Path, processes: int) -> None:
    line = [sys.executable, "scripts/probe_machine.py", "--configfile", "config/smoke.yaml",
            "--processes", str(processes),
            "--folder", str(tmp_path / "probe"), "--output", str(tmp_path / "probe.yaml")]  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    logs = sorted((tmp_path / "probe" / "logs").glob("*.log"), key=lambda log: log.stat().st_mtime)
    assert done.returncode == 0, done.stdout + done.stderr + logs[-1].read_text(encoding="utf-8")
    table = done.stdout[done.stdout.index("method ") :].splitlines()
    assert [text.split()[0] for text in table[2:6]] == ["sft", "coh", "reward", "ppo"]
    assert "small steps in float32: within" in done.stdout
    assert "all in fp32, so there is nothing to compare" in done.stdout
    assert load_assumptions(tmp_path / "probe.yaml")["cpu_gflops"].value > 0
    again = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 2
    assert "error: the folder of the probe is there already" in again.stderr
