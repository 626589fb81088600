"""What one sees of runs that fail, of quiet ones, of dry ones, and of those with nothing to do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project_copy import copy_project

from support.workflow_runs import SMOKE, snakemake

SPLITS, COPA, SST2 = (f"results/odd/data/{name}" for name in ("splits/manifest.json", *(
    f"tasks/{task}/summary.json" for task in ("copa", "sst2"))))  # fmt: skip
# The first row lacks its label, so that one task cannot be prepared.
ODD = """
preset: odd
tasks:
  sst2: {source: {kind: files, train: rows.jsonl, eval: resources/demo/sst2/validation.jsonl}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("terminal") / "project")
    rows = (folder / "resources/demo/sst2/train.jsonl").read_text(encoding="utf-8").splitlines()
    first = {key: value for key, value in json.loads(rows[0]).items() if key != "label"}
    (folder / "rows.jsonl").write_text("\n".join([json.dumps(first), *rows[1:]]) + "\n", encoding="utf-8")
    (folder / "odd.yaml").write_text(ODD)
    return folder


@pytest.fixture(scope="module")
def failed(project: Path) -> str:
    """Output of a run of which one job fails."""
    return run(project, SST2, COPA, SPLITS, "--keep-going", "--retries", "1")


def run(project: Path, *arguments: str) -> str:
    return snakemake(project, *arguments, "--configfile", SMOKE, "odd.yaml", check=False)


def test_an_error_stands_there_whole_and_at_the_end_its_job_is_named(failed: str) -> None:
    error = (
        "error: 1 of 46 rows cannot be used (1 x missing field)\n"
        "  where: rows.jsonl, row 1: missing field: label (the row has idx, sentence)\n  what to do: "
    )
    assert failed.count(error) == 1  # bad input is not tried again
    assert (
        len(re.findall(r"  failed  prepare_task sst2 \(SFT, CoH\); its log: \S+/prepare_task/sst2.log$", failed, re.M))
        == 1
    )
    assert "again   prepare_task" not in failed
    assert "error: 1 of 4 jobs failed; 3 are kept\n  where: prepare_task sst2: " in failed
    assert "At least one job did not complete successfully." in failed
    assert "Traceback" not in failed
    assert "CalledProcessError" not in failed


def test_the_next_run_tells_of_what_is_left(project: Path, failed: str) -> None:
    assert "Preset odd: 1 job, less than a minute on 2 cores." in run(project, SST2)
    assert "Nothing to be done" in run(project, COPA, SPLITS)


def test_quiet_runs_tell_errors_only(project: Path, failed: str) -> None:
    told = run(project, SST2, "--quiet")
    assert "error: 1 of 46 rows cannot be used" in told
    assert "Preset odd" not in told
    assert "start " not in told


def test_dry_and_verbose_runs_and_those_that_touch_look_as_in_snakemake(project: Path, failed: str) -> None:
    for option in ("--dry-run", "--verbose", "--touch"):
        told = run(project, COPA, "--forcerun", "prepare_task", option)
        assert "rule prepare_task:" in told, option
        assert "Preset odd" not in told, option


def test_one_core_and_no_hooks(project: Path, failed: str) -> None:
    told = run(project, COPA, "--forcerun", "prepare_task", "--cores", "1")
    assert "Preset odd: 1 job, less than a minute on 1 core." in told
    told = run(project, COPA, "--forcerun", "prepare_task", "--no-hooks")
    assert "rule prepare_task:" in told
    assert "Finished jobid: " in told


def test_planning_loads_no_torch(project: Path) -> None:
    """Neither when the workflow is read nor, in addition, when a run starts."""
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import common.terminal.run_log; "
        "light = {'pandas', 'pyarrow', 'torch', 'transformers'} & set(sys.modules); "
        "import common.terminal.run_start; print(light, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "set() set()\n"
