"""`all` asks for every file a run makes: Snakemake does not miss an intermediate one under a finished table."""

import re
from pathlib import Path

from workflow_runs import SMOKE, copy_project, snakemake


def listed(output: str, rule: str, what: str) -> set[str]:
    """Files a dry run names as `input` or `output` of a rule's jobs; of every rule where `rule` is a pattern of all."""
    found = re.findall(rf"^(?:local)?rule {rule}:\n(?:    .*\n)*?    {what}: (.*)$", output, re.MULTILINE)
    return {path for files in found for path in files.split(", ")}


def test_all_asks_for_every_output(tmp_path: Path) -> None:
    output = snakemake(copy_project(tmp_path / "project"), "--dry-run", "--configfile", SMOKE)
    made = listed(output, r"\w+", "output")
    assert len(made) > 400
    assert made - listed(output, "all", "input") == set()
