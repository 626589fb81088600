"""The workflow run from elsewhere: another directory, a checkout nobody may write to, a module of another workflow."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from project_copy import copy_project

from common.base.paths import ROOT

# A small target at the end of a short chain, and one whose inputs are all of the project itself.
TASK, AUDIT = "data/tasks/sst2/summary.json", "report/audit.json"
SMOKE = ROOT / "config/smoke.yaml"


def run(
    *arguments: str | Path,
    where: Path,
    program: str | None = None,
    path: str | None = None,
    without: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    command = [program] if program else [sys.executable, "-m", "snakemake"]
    command += [*map(str, arguments), "--cores", "2"]
    command = [*without, *command]
    environment = {**os.environ, "XDG_CACHE_HOME": str(where / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PATH"] = path or environment["PATH"]
    return subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip


def finished(done: subprocess.CompletedProcess[str], *made: Path) -> None:
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    for path in made:
        assert path.is_file(), f"{path} is missing: {(done.stdout + done.stderr)[-2000:]}"


def test_another_directory_takes_the_results(tmp_path: Path) -> None:
    results = Path("results/smoke")
    targets = [results / TASK, results / AUDIT]
    done = run(*targets, "-s", ROOT / "Snakefile", "-d", tmp_path / "else where", "--configfile", SMOKE, where=tmp_path)
    finished(done, *(tmp_path / "else where" / target for target in targets))
    again = run(
        *targets, "-s", ROOT / "Snakefile", "-d", tmp_path / "else where", "--configfile", SMOKE, where=tmp_path
    )
    assert "Nothing to be done" in again.stdout + again.stderr


def test_own_files_are_found_in_the_working_directory_first(tmp_path: Path) -> None:
    rows = (ROOT / "resources/demo/balanced_copa/test.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "mine.jsonl").write_text("\n".join(rows[:12]) + "\n", encoding="utf-8")
    overlay = tmp_path / "mine.yaml"
    source = {"kind": "files", "train": "resources/demo/balanced_copa/train.jsonl", "eval": "mine.jsonl"}
    task = {"definition": "resources/tasks/copa.yaml", "source": source}
    overlay.write_text(json.dumps({"preset": "mine", "tasks": {"copa": task}}), encoding="utf-8")
    made = Path("results/mine/data/tasks/copa/summary.json")
    done = run(made, "-s", ROOT / "Snakefile", "--configfile", SMOKE, overlay, where=tmp_path)
    finished(done, tmp_path / made)
    assert json.loads((tmp_path / made).read_text(encoding="utf-8"))["eval"]["rows"] == 12


# Root may write where nobody may; without that privilege it is as any other user.
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override"] if os.getuid() == 0 else []


def test_a_checkout_nobody_may_write_to(tmp_path: Path) -> None:
    checkout, work = copy_project(tmp_path / "checkout"), tmp_path / "work"
    work.mkdir()
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    assert subprocess.run([*AS_ANYBODY, "touch", checkout / "x"], capture_output=True, check=False).returncode == 1
    before = sorted(path for path in checkout.rglob("*"))
    done = run(
        f"results/smoke/{TASK}", "-s", checkout / "Snakefile", "--configfile", checkout / "config/smoke.yaml",
        where=work, without=AS_ANYBODY,
    )  # fmt: skip
    finished(done, work / "results/smoke" / TASK)
    assert sorted(path for path in checkout.rglob("*")) == before
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)  # so that pytest can remove it


def test_a_path_with_spaces_and_an_environment_that_is_not_activated(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a path with spaces")
    snakemake = str(Path(sys.executable).parent / "snakemake")
    made = project / "results/smoke" / TASK
    done = run(
        made.relative_to(project), "--configfile", "config/smoke.yaml",
        where=project, program=snakemake, path="/usr/bin:/bin",
    )  # fmt: skip
    finished(done, made)


MODULE = """
configfile: "host.yaml"


rule host:
    input:
        "{prefix}results/sentiment/{task}",


module alignment:
    snakefile:
        "{snakefile}"
    config:
        config["alignment"]
    {with_prefix}


use rule * from alignment as alignment_*
"""


@pytest.mark.parametrize("prefix", ["", "aligned/"])
def test_a_module_of_another_workflow(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(
        json.dumps({"alignment": {"preset": "sentiment", "evaluation": {"items": 8}}}), encoding="utf-8"
    )
    with_prefix = f'prefix:\n        "{prefix.rstrip("/")}"' if prefix else ""
    text = MODULE.format(prefix=prefix, task=TASK, snakefile=ROOT / "Snakefile", with_prefix=with_prefix)
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    made = tmp_path / prefix / "results/sentiment" / TASK
    done = run(where=tmp_path)
    finished(done, made)
    log = tmp_path / prefix / "results/sentiment/logs/prepare_task/sst2.log"
    assert log.is_file()
    whole = run("--dry-run", f"{prefix}results/sentiment/tables/table3.csv", where=tmp_path)
    assert whole.returncode == 0, (whole.stdout + whole.stderr)[-3000:]
    assert "alignment_train_coh" in whole.stdout
    assert f"--scratch {prefix}results/sentiment/scratch/" in run(
        "--dry-run", "--printshellcmds", f"{prefix}results/sentiment/models/smollm2-135m/sft", where=tmp_path
    ).stdout  # fmt: skip


def test_the_configuration_of_a_module_is_checked(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text('{"alignment": {"preset": "x", "evaluatoin": {}}}', encoding="utf-8")
    text = MODULE.format(prefix="", task=TASK, snakefile=ROOT / "Snakefile", with_prefix="")
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    done = run("--dry-run", where=tmp_path)
    assert done.returncode != 0
    assert "evaluatoin: unknown key; did you mean `evaluation`?" in done.stdout + done.stderr
    assert "`config` of the module statement" in done.stdout + done.stderr


def test_values_of_the_command_line_have_the_types_of_the_schema(tmp_path: Path) -> None:
    given = ["compute={gpus: 2, device: auto, checkpoint_seconds: auto}", "evaluation={shots: [0, 3], items: 6}"]
    done = run(
        "--dry-run", "results/smoke/models/tiny-llama/sft", "-s", ROOT / "Snakefile", "--configfile", SMOKE,
        "--config", *given, where=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "gpu=2" in done.stdout
