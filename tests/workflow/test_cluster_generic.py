"""PBS and LSF: jobs run through their profiles, with programs in the place of the schedulers' own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import scheduled_jobs
from project_copy import copy_project

from common.base.paths import ROOT
from support import scheduler_programs
from support.scheduler_programs import wait_for
from support.workflow_runs import SMOKE, rules_run

PROGRAMS = {"pbs": ("qsub", "qstat", "qdel"), "lsf": ("bsub", "bjobs", "bkill")}
CLUSTER = ("tests/support/small.yaml", "tests/cluster/smoke.yaml")  # over SMOKE: a training that lasts
TARGET = "results/smoke/data/splits/manifest.json"
SUBMITTED = ["prepare_instructions", "split_instructions"]
# What Snakemake says of a training of the paper preset.
TRAINING = {"type": "single", "rule": "train_rl_sft", "local": False, "threads": 32, "jobid": 7}
RESOURCES = {"gpu": 8, "device": "auto", "mem_mb": 240000, "processes": 1, "stop_lead": 900, "runtime": 1440,
             "slurm_partition": "gpu", "slurm_extra": "--signal=TERM@900", "tmpdir": "/tmp", "nodes": 1}  # fmt: skip
WORK = """
import os, signal, sys, time
def save(*_):
    time.sleep(1)
    open("saved", "w").close()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
open("begun", "w").close()
time.sleep(60)
"""


@dataclass
class Site:
    """A folder to work in, where the programs of one scheduler are first in PATH."""

    name: str
    folder: Path
    jobs: Path
    environ: dict[str, str]

    def options(self, number: int) -> list[str]:
        return json.loads((self.jobs / str(number) / "options.json").read_text())

    def calls(self, kind: int) -> list[list[str]]:
        """Arguments of each call of the program that submits (0), tells (1), cancels (2)."""
        lines = (self.jobs.parent / "calls.jsonl").read_text().splitlines()
        return [words[1:] for words in map(json.loads, lines) if words[0] == PROGRAMS[self.name][kind]]

    def call(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """One of the profile's scripts."""
        command = [str(ROOT / f"profiles/{self.name}/{script}.py"), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env={**self.environ, **environ}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def submit(self, work: str = "true", **resources: object) -> subprocess.CompletedProcess[str]:
        """Submit a job as Snakemake would; a resource that is None is left out."""
        asked = {key: value for key, value in {**RESOURCES, **resources}.items() if value is not None}
        path = self.folder / "job.sh"
        properties = json.dumps({**TRAINING, "resources": asked})
        path.write_text(f"#!/bin/sh\n# properties = {properties}\ncd {self.folder} && {work} && exit 0 || exit 1\n")
        return self.call("submit", str(path), CUDA_VISIBLE_DEVICES="3", JOB_END_TIME="1", HANDED_ON="yes")

    def status(self, job: str) -> str:
        done = self.call("status", job)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(params=PROGRAMS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    programs = scheduler_programs.install(tmp_path / "scheduler")
    folder = tmp_path / "work"
    folder.mkdir()
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return Site(request.param, folder, tmp_path / "scheduler/jobs", {**os.environ, "PATH": path})


def snakemake(site: Site, target: str = TARGET, *overlays: str) -> list[str]:
    quick = ["--seconds-between-status-checks", "1", "--latency-wait", "5"]
    profile = ["--workflow-profile", f"profiles/{site.name}"]
    return [sys.executable, "-m", "snakemake", target, *profile, *quick, "--configfile", SMOKE, *overlays]


def finish(site: Site, command: list[str], project: Path) -> None:
    """A run that must succeed."""
    done = subprocess.run(
        command, cwd=project, env=site.environ, capture_output=True, text=True, timeout=600, check=False
    )
    logs = "".join(path.read_text() for path in site.jobs.glob("*/output.log"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + logs


def test_jobs_run_to_their_end_through_the_profile(site: Site) -> None:
    project = copy_project(site.folder / "project")
    finish(site, snakemake(site), project)
    assert json.loads((project / TARGET).read_text())
    assert rules_run(project) == SUBMITTED
    assert len(site.calls(0)) == len(SUBMITTED)
    assert all({"select=1:ncpus=1:mem=4000mb", "rusage[mem=4000MB]"} & set(options) for options in site.calls(0))
    assert list((project / scheduled_jobs.STATES).iterdir()) == []


@pytest.mark.parametrize("asked", ["rarely", "always"])
def test_snakemake_that_is_stopped_leaves_no_job(site: Site, asked: str) -> None:
    project = copy_project(site.folder / "project")
    if asked == "always":  # Snakemake forgets to cancel a job it is asking for
        program = site.jobs.parent / "bin" / PROGRAMS[site.name][1]
        program.write_text(f"#!/bin/sh\nsleep 3\n{program.read_text()}")
    # Where the tests run in the background of a script, SIGINT is ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(snakemake(site), cwd=project, env=site.environ, preexec_fn=heard) as process:
        wait_for(site.jobs / "1/process")
        time.sleep(1)  # Snakemake notes the job once qsub has answered
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0
    name = scheduler_programs.IDS[PROGRAMS[site.name][0][0]].format(1)
    assert {name} == {cancelled for call in site.calls(2) for cancelled in call}
    wait_for(site.jobs / "1/code")
    assert not (project / TARGET).exists()


@pytest.mark.full
@pytest.mark.parametrize("site", ["pbs"], indirect=True)  # what ends a job is the same program for both
def test_a_training_that_is_cancelled_saves_and_its_next_job_resumes(site: Site) -> None:
    project = copy_project(site.folder / "project")
    model = "results/cluster/models/tiny-llama/sft"
    for needed in ("models/tiny-llama/pretrained", "data/splits/manifest.json"):
        finish(site, snakemake(site, f"results/cluster/{needed}", *CLUSTER), project)
    number = len(site.calls(0)) + 1
    with subprocess.Popen(snakemake(site, model, *CLUSTER), cwd=project, env=site.environ) as process:
        wait_for(site.jobs / str(number) / "process")
        deadline = time.monotonic() + 120
        while not list((project / "results/cluster/scratch/train_sft").glob("**/checkpoint-*/complete.json")):
            assert time.monotonic() < deadline, "no checkpoint within two minutes"
            time.sleep(0.05)
        subprocess.run([PROGRAMS[site.name][2], str(number)], env=site.environ, check=True)
        assert process.wait(timeout=300) == 0
    log = (site.jobs / str(number) / "output.log").read_text()
    step = int(re.search(r"stopped on request at step (\d+)", log)[1])
    assert json.loads((project / model / "run.json").read_text())["resumed_from_step"] == step
    assert len(site.calls(0)) == number + 1


def test_a_job_on_gpus_asks_for_one_node_and_time_to_save(site: Site) -> None:
    done = site.submit(slurm_account="lab", slurm_extra="--signal=TERM@900 -m 'a b'")
    logs = site.folder.resolve() / ".snakemake/scheduled_logs/train_rl_sft"
    if site.name == "pbs":
        assert done.stdout == "1.pbs.example.org\n", done.stderr
        assert site.options(1) == [
            "-N", "train_rl_sft", "-V", "-r", "y", "-j", "oe", "-o", f"{logs}/",
            "-l", "select=1:ncpus=32:ngpus=8:mem=240000mb", "-l", "walltime=24:00:00", "-q", "gpu", "-A", "lab",
            "-m", "a b",
        ]  # fmt: skip
    else:
        assert done.stdout == "1\n", done.stderr
        assert site.options(1) == [
            "-J", "train_rl_sft", "-r", "-o", f"{logs}/%J.log", "-n", "32", "-R", "span[hosts=1]",
            "-R", "rusage[mem=240000MB]", "-gpu", "num=8:j_exclusive=yes", "-W", "1440", "-wt", "15", "-wa", "TERM",
            "-q", "gpu", "-P", "lab", "-m", "a b",
        ]  # fmt: skip
    assert logs.is_dir()


@pytest.mark.parametrize("gpu", [{"gpu": "a100-80gb:8", "gpus": 8}, {"gpu": 8, "gpu_model": "a100-80gb"}])
def test_the_type_of_a_gpu_is_asked_for_in_the_words_of_the_scheduler(site: Site, gpu: dict[str, object]) -> None:
    if site.name == "pbs":
        done = site.submit(**gpu)
        assert done.stderr.startswith("error: PBS has no name of its own for a type of GPU\n  where: site.gpu.model\n")
    site.submit(**gpu, gpu_select="gpu_type=a100")
    asked = "ngpus=8:gpu_type=a100:mem=240000mb" if site.name == "pbs" else "num=8:j_exclusive=yes:gmodel=a100-80gb"
    assert asked in " ".join(site.options(1))


def test_a_reservation_is_asked_for_in_the_words_of_the_scheduler(site: Site) -> None:
    site.submit(slurm_extra="--signal=TERM@900 --reservation=R7")
    asked = " ".join(site.options(1))
    assert ("-q R7" if site.name == "pbs" else "-q gpu -U R7") in asked
    assert "--" not in asked


def test_what_a_job_does_not_say_is_left_to_the_queue(site: Site) -> None:
    absent = dict.fromkeys(("runtime", "mem_mb", "gpu", "slurm_partition", "nodes", "stop_lead"))
    site.submit(work="env > told.new && mv told.new told", **absent)
    asked = site.options(1)
    assert not {"-W", "-q", "-gpu"} & set(asked)
    assert not re.search(r"walltime|mem=|ngpus", " ".join(asked))
    wait_for(site.folder / "told")
    assert "JOB_END_TIME" not in (site.folder / "told").read_text()


def test_a_job_knows_its_end_and_its_environment_and_no_gpu_of_the_login_node(site: Site) -> None:
    launch = [f"{ROOT}/scripts/launch.py", "--gpus", "0", "--threads", "1", "--stop-lead", "900", "tell.py"]
    tell = "import json, os, sys; json.dump([sys.executable, dict(os.environ)], open('told.new', 'w'))"
    (site.folder / "tell.py").write_text(f"{tell}; os.rename('told.new', 'told')")
    named = f"{sys.executable} -m snakemake --version"  # as Snakemake names its Python in a job's script
    before = time.time()
    site.submit(work=f"{named} && cat /dev/null && python {' '.join(launch)}")
    wait_for(site.folder / "told")
    python, told = json.loads((site.folder / "told").read_text())
    assert Path(python).parent == Path(sys.executable).parent
    assert told["HANDED_ON"] == "yes"
    assert told["CUDA_VISIBLE_DEVICES"] == ""  # the launcher's: no GPU, and not device 3
    assert before - 1 <= int(told["JOB_END_TIME"]) - 86400 <= time.time() + 1
    assert int(told["JOB_STOP_TIME"]) == int(told["JOB_END_TIME"]) - 900


def test_what_cannot_be_asked_for_is_refused(site: Site) -> None:
    for resources, what in (
        ({"nodes": 2}, "error: train_rl_sft asks for 2 nodes, which works under SLURM alone"),
        ({"qos": "high"}, "error: train_rl_sft has a qos, which works under SLURM alone\n  where: site.qos of"),
        ({"constraint": "fat"}, "error: train_rl_sft has a constraint, which works under SLURM alone"),
        ({"runtime": 15}, "error: train_rl_sft would save its state and stop as soon as it starts"),
    ):
        done = site.submit(**resources)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(what)
        assert done.stderr.count("\n") == 3
    assert list(site.jobs.iterdir()) == []


def test_a_refusal_of_the_scheduler_is_told_with_the_command(site: Site) -> None:
    program = PROGRAMS[site.name][0]
    (site.jobs.parent / "bin" / program).write_text("#!/bin/sh\necho 'Unknown queue' >&2\nexit 1\n")
    done = site.submit()
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {program} took no job: Unknown queue\n  where: {program} -")


STATES = {
    "pbs": {"running": "BEHQRSTUWM", "failed": ["F"]},
    "lsf": {"running": ["PEND", "PROV", "PSUSP", "RUN", "USUSP", "SSUSP", "WAIT"], "success": ["DONE"],
            "failed": ["EXIT", "ZOMBI"]},
}  # fmt: skip


def test_every_state_has_a_word(site: Site) -> None:
    site.submit()
    wait_for(site.jobs / "1/code")
    assert site.status("1") == "success"
    (site.jobs / "1/code").write_text("271")
    assert site.status("1") == "failed"
    for word, states in STATES[site.name].items():
        for state in states:
            (site.jobs / "1/state").write_text(state)
            assert site.status("1") == word, state


def test_a_state_that_is_not_known_is_told_once_and_counts_as_running(site: Site) -> None:
    site.submit(work="sleep 30")
    (site.jobs / "1/state").write_text("Z")
    told = [site.call("status", "1") for _ in range(3)]
    assert {done.stdout for done in told} == {"running\n"}
    assert "job 1 counts as running, though nobody says how it is: the state 'Z' is not known" in told[0].stderr
    assert [done.stderr for done in told[1:]] == ["", ""]
    site.call("cancel", "1")


def test_a_job_nobody_knows_counts_as_failed_in_the_end(site: Site) -> None:
    counted = site.folder / scheduled_jobs.STATES / "9.unanswered"
    assert site.status("9") == "running"
    assert counted.read_text() == "1"
    counted.write_text(str(scheduled_jobs.UNANSWERED - 2))
    assert site.status("9") == "running"
    done = site.call("status", "9")
    assert (done.returncode, done.stdout) == (0, "failed\n")
    assert f"error: for {scheduled_jobs.UNANSWERED} questions in a row nobody said how a job is" in done.stderr
    assert not counted.exists()


def test_an_answer_ends_the_count(site: Site) -> None:
    site.submit(work="sleep 30")
    job = site.jobs / "1"
    job.rename(site.jobs / "hidden")
    assert site.status("1") == "running"
    (site.jobs / "hidden").rename(job)
    assert site.status("1") == "running"
    assert not list((site.folder / scheduled_jobs.STATES).glob("*.unanswered"))
    site.call("cancel", "1")


@pytest.mark.parametrize(("work", "word"), [("true", "success"), ("false", "failed")])
def test_a_job_the_scheduler_forgot_is_known_by_its_exit_code(site: Site, work: str, word: str) -> None:
    name = site.submit(work=work).stdout.strip()
    wait_for(site.jobs / "1/code")
    shutil.rmtree(site.jobs / "1")
    assert site.status(name) == word
    assert list((site.folder / scheduled_jobs.STATES).iterdir()) == []


def test_cancelled_jobs_are_told_and_live_until_they_have_saved(site: Site) -> None:
    names = []
    for folder in ("one", "two"):
        (site.folder / folder).mkdir()
        (site.folder / folder / "work.py").write_text(WORK)
        names.append(site.submit(work=f"cd {folder} && {sys.executable} work.py").stdout.strip())
        wait_for(site.folder / folder / "begun")
    assert site.call("cancel", *names).returncode == 0
    assert site.calls(2) == [names]
    for number, folder in enumerate(("one", "two"), start=1):
        wait_for(site.jobs / f"{number}/code")
        assert (site.folder / folder / "saved").exists(), "the shell ended before its job"
        assert (site.jobs / f"{number}/code").read_text() == "1"
        assert site.status(names[number - 1]) == "failed"


def test_nothing_to_cancel_is_no_error(site: Site) -> None:
    assert site.call("cancel").returncode == 0
