"""The launcher: which devices a job gets, how many processes, and what becomes of signals and exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

import launch
from common.base.errors import EXIT_BAD_INPUT, EXIT_MACHINE, EXIT_RESUMABLE
from common.base.paths import SCRIPTS
from common.jobs import attempts, gpu_leases
from support.amounts import examples
from support.forked import Piped

REPORT = """
import json, os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
         "OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
facts = {name: os.environ.get(name) for name in names}
line = json.dumps({**facts, "pid": os.getpid(), "arguments": sys.argv[1:]}) + "\\n"
os.write(1, line.encode())  # at once, since processes share the pipe
"""

STOPS_ON_REQUEST = """
import signal, sys, time
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
print("started", flush=True)
while not stopped:
    time.sleep(0.02)
time.sleep(0.5)
print("saved", flush=True)
sys.exit(75)
"""

SECOND_PROCESS_FAILS = """
import os, sys, time
if os.environ["RANK"] == "1":
    os.kill(os.getpid(), 9) if sys.argv[1] == "killed" else sys.exit(int(sys.argv[1]))
time.sleep(60)
"""


class Machine:
    """A machine whose driver lists `devices`, and jobs started on it."""

    def __init__(self, folder: Path, devices: int):
        self.folder, self._started = folder, list[Piped]()
        tool = folder / "bin/nvidia-smi"
        tool.parent.mkdir()
        listed = "; ".join(f"echo {device}" for device in range(devices))
        tool.write_text(f"#!/bin/sh\n{listed or 'exit 9'}\n", encoding="utf-8")
        tool.chmod(0o755)

    def start(
        self, script: str, *arguments: str, gpus: int = 0, assigned: str | None = None, job: str | None = None,
        **options: Any,
    ) -> Piped:  # fmt: skip
        """The launcher with a script of this text, in a scheduler's job where `job` names its variable; `options` are
        the launcher's own."""
        path = self.folder / "script.py"
        path.write_text(script, encoding="utf-8")
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("CUDA_", "OMP_", "MALLOC_"))
        }
        environment["PATH"] = f"{self.folder / 'bin'}:{environment['PATH']}"
        if assigned is not None:
            environment["CUDA_VISIBLE_DEVICES"] = assigned
        for name in gpu_leases.SCHEDULERS:
            environment.pop(name, None)
        if job is not None:
            environment[job] = "17"
        chosen = {"gpus": gpus, "threads": 1, "leases": self.folder / "leases", **options}
        flags = [text for name, value in chosen.items() for text in (f"--{name}", str(value))]
        self._started.append(Piped("launch", [*flags, str(path), *arguments], environment))
        return self._started[-1]

    def report(self, *arguments: str, **options: Any) -> list[dict[str, Any]]:
        """What each process of a job sees, by rank."""
        process = self.start(REPORT, *arguments, **options)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        facts = [{**json.loads(line), "launcher": process.pid} for line in output.splitlines()]
        return sorted(facts, key=lambda fact: fact["RANK"] or "")

    def end(self) -> None:
        for process in self._started:
            process.end()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with GPUs 0, 1 and 2."""
    machine = Machine(tmp_path, 3)
    yield machine
    machine.end()


def test_without_gpus_the_script_replaces_the_launcher(machine: Machine) -> None:
    (seen,) = machine.report("--log", "x", threads=3)
    assert seen["pid"] == seen["launcher"]
    assert seen["arguments"] == ["--log", "x"]
    assert seen["OMP_NUM_THREADS"] == "3"
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["WORLD_SIZE"] is None
    assert int(seen["MALLOC_TRIM_THRESHOLD_"]) > 1 << 30


def test_there_is_a_process_a_gpu_and_they_share_the_threads(machine: Machine) -> None:
    seen = machine.report("--log", "x", gpus=2, threads=5)
    assert [fact["RANK"] for fact in seen] == [fact["LOCAL_RANK"] for fact in seen] == ["0", "1"]
    assert {fact["arguments"][1] for fact in seen} == {"x"}
    assert {fact["CUDA_VISIBLE_DEVICES"] for fact in seen} == {"0,1"}
    assert {fact["CUDA_DEVICE_ORDER"] for fact in seen} == {"PCI_BUS_ID"}
    assert {fact["OMP_NUM_THREADS"] for fact in seen} == {"2"}
    assert {fact["MALLOC_TRIM_THRESHOLD_"] for fact in seen} == {None}


def test_launchers_that_meet_number_their_processes_together(machine: Machine) -> None:
    """As on two nodes, where SLURM starts a launcher on each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    nodes = [machine.start(REPORT, nodes=2, meet=place, processes=4, threads=4, job="SLURM_JOB_ID") for _ in range(2)]
    seen = []
    for process in nodes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        seen.append([json.loads(line) for line in output.splitlines()])
    assert [len(node) for node in seen] == [2, 2]
    assert sorted(fact["RANK"] for node in seen for fact in node) == ["0", "1", "2", "3"]
    assert {fact["WORLD_SIZE"] for node in seen for fact in node} == {"4"}
    assert {fact["LOCAL_RANK"] for fact in seen[0]} == {fact["LOCAL_RANK"] for fact in seen[1]} == {"0", "1"}
    assert {fact["OMP_NUM_THREADS"] for node in seen for fact in node} == {"2"}


def test_several_nodes_outside_slurm_are_refused(machine: Machine) -> None:
    process = machine.start(REPORT, nodes=2, processes=4)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_BAD_INPUT
    assert "error: 2 nodes were requested outside a SLURM job" in errors
    assert "compute: {nodes: 1}" in errors


def test_the_launcher_records_that_a_process_was_killed(machine: Machine) -> None:
    log = machine.folder / "logs/rule/all.log"
    for ending, code, how in (("killed", EXIT_MACHINE, attempts.KILLED), ("2", EXIT_BAD_INPUT, attempts.INPUT),
                              ("1", 1, attempts.BUG)):  # fmt: skip
        attempts.record_of(log).unlink(missing_ok=True)
        process = machine.start(SECOND_PROCESS_FAILS, ending, "--log", str(log), processes=2)
        process.communicate(timeout=120)
        assert process.returncode == code
        assert attempts.read_attempts(log) == [how]


def test_what_the_launcher_refuses_is_an_attempt(machine: Machine) -> None:
    log = machine.folder / "logs/rule/all.log"
    process = machine.start(REPORT, "--log", str(log), gpus=4)
    process.communicate(timeout=60)
    assert process.returncode == EXIT_MACHINE
    assert attempts.read_attempts(log) == [attempts.MACHINE]


def test_two_jobs_have_ports_and_devices_of_their_own(machine: Machine) -> None:
    holds = REPORT + "import time; time.sleep(600)"
    jobs = [machine.start(holds, gpus=1) for _ in range(2)]
    seen = [json.loads(job.stdout.readline()) for job in jobs]
    assert {fact["CUDA_VISIBLE_DEVICES"] for fact in seen} == {"0", "1"}
    assert len({fact["MASTER_PORT"] for fact in seen}) == 2


@pytest.mark.parametrize("job", sorted(gpu_leases.SCHEDULERS))
@pytest.mark.parametrize("assigned", ["4,7", "GPU-aa,GPU-bb"])
def test_devices_a_scheduler_assigned_are_respected(machine: Machine, assigned: str, job: str) -> None:
    seen = machine.report(gpus=2, assigned=assigned, job=job)
    assert {fact["CUDA_VISIBLE_DEVICES"] for fact in seen} == {assigned}
    assert not (machine.folder / "leases").exists()


def test_devices_a_user_chose_are_leased_whatever_their_number(machine: Machine) -> None:
    holder = machine.start(REPORT + "import time; time.sleep(600)", gpus=1, assigned="4")
    holder.stdout.readline()
    waiting = machine.start(REPORT, gpus=1, assigned="4")
    assert "waiting: other jobs use the GPUs (1 of 4 needed" in waiting.stderr.readline()
    holder.kill()
    assert json.loads(waiting.stdout.readline())["CUDA_VISIBLE_DEVICES"] == "4"


def test_among_more_devices_than_it_needs_a_job_leases(machine: Machine) -> None:
    held = gpu_leases.take_free(["4"], 1, leases(machine))
    assert held == ["4"]
    (seen,) = machine.report(gpus=1, assigned="4,7,9")
    assert seen["CUDA_VISIBLE_DEVICES"] == "7"


def test_no_process_outlives_the_launcher_that_holds_its_gpus(machine: Machine) -> None:
    job = machine.start(REPORT + "import time; time.sleep(600)", gpus=2)
    pids = [json.loads(job.stdout.readline())["pid"] for _ in range(2)]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    job.kill()
    job.communicate(timeout=10)  # ends when every process has closed the pipe
    assert not gpu_leases.take_free(["0", "1"], 3, machine.folder / "leases")
    assert gpu_leases.take_free(["0", "1"], 2, machine.folder / "leases") == ["0", "1"]


def leases(machine: Machine) -> Path:
    folder = machine.folder / "leases"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("assigned", "found"), [("3", 1), ("", 0), (" , ", 0), ("-1", 0), ("1,-1,2", 1), ("NoDevFiles", 0), (None, 1)]
)
def test_too_few_gpus_are_an_error_for_people(tmp_path: Path, assigned: str | None, found: int) -> None:
    machine = Machine(tmp_path, 1)
    process = machine.start(REPORT, gpus=2, assigned=assigned)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_MACHINE
    assert output == ""
    assert errors.startswith(f"error: 2 GPUs were requested, {found} are visible\n")
    assert "what to do" in errors
    assert "Traceback" not in errors


def test_a_machine_without_a_driver_computes_when_the_device_is_the_cpu(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 0)
    assert machine.start(REPORT, gpus=2).wait(timeout=60) == EXIT_MACHINE
    (seen,) = machine.report(gpus=2, device="cpu", threads=2)
    assert seen["pid"] == seen["launcher"]
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["OMP_NUM_THREADS"] == "2"
    machine.end()


@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_reaches_the_script_and_its_state_is_saved(machine: Machine, processes: int) -> None:
    process = machine.start(STOPS_ON_REQUEST, processes=processes)
    assert [process.stdout.readline() for _ in range(processes)] == ["started\n"] * processes
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert output == "saved\n" * processes
    assert process.returncode == EXIT_RESUMABLE, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("way", "code", "told"), [("2", 2, ""), ("killed", EXIT_MACHINE, "error: SIGKILL ended process 1 of 2")]
)
def test_the_exit_code_of_the_process_that_failed_is_the_jobs(machine: Machine, way: str, code: int, told: str) -> None:
    process = machine.start(SECOND_PROCESS_FAILS, way, processes=2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert told in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("after", [EXIT_MACHINE, -signal.SIGABRT])
def test_of_processes_that_are_seen_to_end_at_once_the_cause_is_told(
    after: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a process says that has lost another one is no cause, even where it ended first."""
    ended = {rank: ProcessFailure(rank, 100 + rank, code, "") for rank, code in enumerate([after, -signal.SIGKILL])}
    for rank, failure in ended.items():
        failure.timestamp = rank

    def fail(arguments: list[str]) -> None:
        raise ChildFailedError("train_sft.py", ended)

    monkeypatch.setattr(torchrun, "main", fail)
    assert launch.run_processes("train_sft.py", [], 2) == EXIT_MACHINE
    assert "error: SIGKILL ended process 1 of 2" in capsys.readouterr().err


def test_torchrun_leaves_a_script_time_to_save_and_its_options_alone() -> None:
    options = torchrun.parse_args(launch.torchrun_arguments("train.py", ["--log", "x"], 4))
    assert options.standalone
    assert options.nproc_per_node == "4"
    assert options.shutdown_timeout >= 3600
    assert options.training_script_args[-3:] == ["train.py", "--log", "x"]


@pytest.mark.parametrize("number", ["-1", "two", "1.5"])
def test_a_wrong_number_is_refused(machine: Machine, number: str) -> None:
    process = machine.start(REPORT, gpus=number)  # type: ignore[arg-type]
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"not a number of 0 or more: {number}" in errors


LEASER = """
import sys, time
from pathlib import Path
from common.jobs.console import Console
from common.jobs.gpu_leases import lease
devices, count, directory, seconds = sys.argv[1].split(","), int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
leased = lease(devices, count, directory, Console("test"))
print(time.monotonic(), *leased, flush=True)
time.sleep(seconds)
print(time.monotonic(), flush=True)
"""


def leaser(devices: list[str], count: int, directory: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [",".join(devices), str(count), str(directory), str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen([sys.executable, "-c", LEASER, *arguments], env=environment, text=True, **pipes)


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


@settings(max_examples=examples(5), deadline=None)
@given(available=st.integers(1, 4), wanted=st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_jobs_wait_for_each_other_and_never_share_a_gpu(
    available: int, wanted: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("leases") / "gpu-leases"
    devices = [str(device) for device in range(available)]
    counts = [min(count, available) for count in wanted]
    processes = [leaser(devices, count, directory, 0.1) for count in counts]
    held: dict[str, list[tuple[float, float]]] = {device: [] for device in devices}
    for process, count in zip(processes, counts, strict=True):
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        (start, *leased), (end,) = [line.split() for line in output.splitlines()]
        assert len(set(leased)) == count
        for device in leased:
            assert not any(overlap((float(start), float(end)), other) for other in held[device])
            held[device].append((float(start), float(end)))


def test_a_lease_ends_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    holder = leaser(["0", "1"], 2, tmp_path, 600)
    assert holder.stdout is not None
    assert holder.stdout.readline().split()[1:] == ["0", "1"]
    waiting = leaser(["0", "1"], 1, tmp_path, 0)
    assert waiting.stderr is not None
    assert "waiting: other jobs use the GPUs (1 of 0,1 needed" in waiting.stderr.readline()
    holder.kill()
    killed = time.monotonic()
    output, _ = waiting.communicate(timeout=60)
    assert output.split()[1] == "0"
    assert float(output.split()[0]) >= killed - 0.1
    holder.communicate()
