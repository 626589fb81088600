"""Copies of the project in which the workflow runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

from common.base.paths import ROOT

SMOKE = "config/smoke.yaml"
SMALL = "tests/support/small.yaml"  # over SMOKE
RULE = re.compile(r"^(?:local)?rule (\w+):$", re.MULTILINE)


def snakemake(project: Path, *arguments: str, check: bool = True, record_reads: Path | None = None) -> str:
    """Output of one call; with `record_reads` each job's reads are added to that file (`recorded_reads`)."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = dict(os.environ)
    if record_reads:
        environment |= {"PYTHONPATH": str(ROOT / "tests/support/recorded_reads"), "RECORD_READS": str(record_reads)}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=1700, check=False
    )
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output[-6000:]
    return output


def whole_log(project: Path) -> str:
    """All that Snakemake said in its last run, of which the terminal shows a part."""
    return max(project.glob(".snakemake/log/*.snakemake.log")).read_text(encoding="utf-8")


def rules_run(project: Path, ending: str = "") -> list[str]:
    """The rule of each job of the last run, or of that whose last line is `ending`, in their order."""
    name = Path(ending.removeprefix("Complete log(s): ")).name
    log = (project / ".snakemake/log" / name).read_text(encoding="utf-8") if ending else whole_log(project)
    return RULE.findall(log)


def planned(project: Path, configfile: str = SMOKE) -> dict[str, list[str]]:
    """Jobs a dry run plans: the outputs of each rule."""
    output = snakemake(project, "--dry-run", "--configfile", configfile)
    jobs: dict[str, list[str]] = {}
    for block in output.split("\n["):
        if match := RULE.search(block):
            outputs = re.search(r"^    output: (.*)$", block, re.MULTILINE)
            jobs.setdefault(match[1], []).append(outputs[1] if outputs else "")
    return jobs
