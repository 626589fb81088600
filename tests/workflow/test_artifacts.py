"""`all` asks for every file a run makes: Snakemake does not miss an intermediate one under a finished table.

Rules name all score files they read; compared with every output, these would let planning grow with their square.
"""

import re
import subprocess
import sys
from pathlib import Path

from project_copy import copy_project

from support.workflow_runs import SMOKE, snakemake

LOOK_UPS = """
import sys
from snakemake.cli import main
from snakemake.output_index import OutputIndex
find = OutputIndex.match_producers
def tell_and_find(index, path):
    print("look-up:", path)
    return find(index, path)
OutputIndex.match_producers = tell_and_find
main(sys.argv[1:])
"""


def listed(output: str, rule: str, what: str) -> set[str]:
    """Files a dry run names as `input` or `output` of a rule's jobs; of every rule where `rule` is a pattern of all."""
    found = re.findall(rf"^(?:local)?rule {rule}:\n(?:    .*\n)*?    {what}: (.*)$", output, re.MULTILINE)
    return {path for files in found for path in files.split(", ")}


def test_all_asks_for_every_output(tmp_path: Path) -> None:
    output = snakemake(copy_project(tmp_path / "project"), "--dry-run", "--configfile", SMOKE)
    made = listed(output, r"\w+", "output")
    assert len(made) > 400
    assert made - listed(output, "all", "input") == set()


def test_no_score_file_is_compared_with_all_outputs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOOK_UPS, "--dry-run", "--quiet", "--configfile", SMOKE]
    project = copy_project(tmp_path / "project")
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=True)
    looked_up = re.findall(r"^look-up: (.*)$", done.stdout, re.MULTILINE)
    assert "results/smoke/tables/table3.csv" in looked_up
    assert [path for path in looked_up if path.startswith(("results/smoke/eval/", "results/smoke/markers/"))] == []
