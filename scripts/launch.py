"""Start a script on the devices its job was given.

Without a GPU the script replaces this process (`exec`). With GPUs, or several processes, torchrun starts one process
per device. On one node it runs in standalone mode, which picks a free port; on several, SLURM's `srun` starts this
launcher once a node, and they meet at a port of the first. Either way a signal of the scheduler reaches the script, and
the script's exit code becomes that of the job.

Which GPUs a job gets is decided in common/jobs/gpu_leases.py.
"""

import common.base.quick_start

import argparse
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE, UserError
from common.base.processes import end_with_parent
from common.jobs.attempts import BEGUN, begin_attempt, end_attempt
from common.jobs.console import Console, collect_garbage, count, gpu_count, job_name
from common.jobs.gpu_leases import LEASES, assign_gpus

# How long torchrun lets a script save its state after SIGTERM before it kills it; its own default is 30 seconds.
# A day means: the scheduler decides.
SECONDS_TO_STOP = 24 * 3600
# How a process ends once another one is gone, which torchrun may notice before, or at once with, the one it lost.
AFTERMATH = (EXIT_MACHINE, -signal.SIGABRT)
WORKER = "--worker"
STOP_TIME, STOP_LEAD = "JOB_STOP_TIME", "JOB_STOP_LEAD"  # read by common.training.checkpoints
# glibc returns large freed blocks to the system at once and faults every page in again at the next step: training on a
# CPU then spends a quarter of its time in the kernel. Keeping the memory is all these settings do.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
# Batches differ in length from step to step: without growing segments ever more of a GPU's memory lies between blocks.
GROWING_SEGMENTS = ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


@dataclass(frozen=True)
class Meeting:
    """Where the launchers of several nodes meet.

    Attributes:
        nodes: how many there are.
        place: host and port, on the node that started the others.
    """

    nodes: int
    place: str

    def options(self) -> list[str]:
        """Those of torchrun."""
        name = os.environ.get("SLURM_JOB_ID", "job")
        return [f"--nnodes={self.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={self.place}", f"--rdzv-id={name}"]


def torchrun_arguments(script: str, arguments: list[str], processes: int, meeting: Meeting | None = None) -> list[str]:
    """Arguments of torchrun; without "--" it would take `--log` as its own option.

    Args:
        script: to start.
        arguments: of the script.
        processes: on this node.
        meeting: of the nodes; None for one node, where a free port is found.
    """
    options = meeting.options() if meeting else ["--standalone"]
    options += [f"--nproc-per-node={processes}", f"--shutdown-timeout={SECONDS_TO_STOP}"]
    return [*options, "--", __file__, WORKER, script, *arguments]


def run_processes(script: str, arguments: list[str], processes: int, meeting: Meeting | None = None) -> int:
    """Start `processes` copies of the script and wait for them; arguments as of `torchrun_arguments`.

    Returns:
        The exit code of the first process that failed by itself, 75 when a signal stopped them, else 0.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    collect_garbage()
    try:
        torchrun.main(torchrun_arguments(script, arguments, processes, meeting))
    except SignalException:
        return EXIT_RESUMABLE
    except RendezvousError as error:
        remedy = "nodes must reach each other by host name, on any port; run again if one of them failed"
        where = f"{meeting.place if meeting else 'this node'}: {error}"
        sys.stderr.write(f"{UserError('the nodes of this job did not meet', where, remedy)}\n")
        return EXIT_MACHINE
    except ChildFailedError as error:
        rank, failure = min(error.failures.items(), key=lambda item: (item[1].exitcode in AFTERMATH, item[1].timestamp))
        record_end(arguments, failure.exitcode)
        if failure.exitcode > 0:
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        remedy = "if memory ran out, request more of it or lower `per_device_batch_size`; then run again: it resumes"
        total = processes * (meeting.nodes if meeting else 1)
        sys.stderr.write(f"{UserError(f'{name} ended process {rank} of {total}', script, remedy)}\n")
        return EXIT_MACHINE
    return 0


def log_of(arguments: list[str]) -> Path | None:
    """The log that a script's arguments name, where its job's attempts are recorded."""
    log = Path(arguments[arguments.index("--log") + 1]) if "--log" in arguments else None
    return log if job_name(log) else None


def record_begin(arguments: list[str]) -> None:
    """Record that the job begins: what fails before its script speaks is an attempt as well.

    Raises:
        UserError: when nothing can be written beside the log.
    """
    if log := log_of(arguments):
        try:
            os.environ[BEGUN] = str(begin_attempt(log))
        except OSError as error:
            raise UserError(f"cannot write beside the log: {error.strerror}", str(log), "give write access there",
                            EXIT_MACHINE) from error  # fmt: skip


def record_end(arguments: list[str], code: int) -> None:
    """Record how the job ended, of which a process that has failed may not tell."""
    if log := log_of(arguments):
        end_attempt(log, code)


def start_on_nodes(options: argparse.Namespace, console: Console) -> NoReturn:
    """Replace this process with SLURM's `srun`, which starts a launcher on each node of the job.

    A launcher that ends does not end the others, which may still be saving; they have a minute.

    Raises:
        UserError: outside a SLURM job.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(f"{options.nodes} nodes were requested outside a SLURM job", "compute.nodes",
                        "use profiles/slurm, or set `compute: {nodes: 1}`")  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("", 0))
        place = f"{socket.gethostname()}:{probe.getsockname()[1]}"
    call = ["srun", f"--nodes={options.nodes}", f"--ntasks={options.nodes}", "--ntasks-per-node=1",
            f"--cpus-per-task={options.threads}", "--kill-on-bad-exit=0", "--wait=60"]  # fmt: skip
    if options.gpus:
        call.append(f"--gpus-per-node={options.gpus // options.nodes}")
    console.say(f"{options.nodes} nodes, which meet at {place}")
    os.execvp("srun", [*call, sys.executable, __file__, "--meet", place, *sys.argv[1:]])  # noqa: S606, S607


def become(script: str, arguments: list[str]) -> NoReturn:
    """Replace this process with the script."""
    os.execv(sys.executable, [sys.executable, script, *arguments])  # noqa: S606


def become_worker(script: str, arguments: list[str]) -> NoReturn:
    """Run the script as one of several processes. They end with the launcher, because its end releases the GPUs."""
    end_with_parent()
    become(script, arguments)


def set_stop_time(lead: int) -> None:
    """Tell the script when to save and stop: `lead` seconds before the job's time limit, where that is known.

    The lead alone tells it how much time it has after SIGTERM.

    JOB_END_TIME, seconds since 1970, is for whoever starts the job; newer versions of SLURM set SLURM_JOB_END_TIME.
    """
    if lead:
        os.environ[STOP_LEAD] = str(lead)
    end = os.environ.get("JOB_END_TIME") or os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        os.environ[STOP_TIME] = str(int(end) - lead)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=gpu_count, required=True, help="GPUs of this job, on all nodes; 0 for none")
    parser.add_argument("--nodes", type=count, default=1, help="nodes of this job")
    parser.add_argument("--meet", help="host and port where the launchers of several nodes meet; they are told it")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto", help="cpu leaves requested GPUs unused")
    parser.add_argument("--processes", type=count, default=1, help="processes when no GPU is used, on all nodes")
    parser.add_argument("--threads", type=count, required=True, help="CPU threads on a node, shared by its processes")
    parser.add_argument("--stop-lead", type=count, default=0, help="seconds to stop at before the job's time limit")
    parser.add_argument("--leases", type=Path, default=LEASES, help="where devices are locked")
    parser.add_argument("script", help="the script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [WORKER]:
        become_worker(argv[1], argv[2:])
    options, console = argument_parser().parse_args(argv), Console("launch")
    try:
        record_begin(options.arguments)
        return launch(options, console)
    except UserError as error:
        console.write(f"{error}\n")
        record_end(options.arguments, error.code)
        return error.code


def launch(options: argparse.Namespace, console: Console) -> int:
    """Start what the options say; the exit code of the job.

    Raises:
        UserError: when the machine lacks what was requested.
    """
    if options.nodes > 1 and not options.meet:
        start_on_nodes(options, console)
    gpus = options.gpus // options.nodes if options.device == "auto" else 0
    processes = gpus or max(1, options.processes // options.nodes)
    if options.gpus and not gpus:
        console.say(f"device: cpu; the GPUs requested ({options.gpus}) stay unused")
    devices = assign_gpus(gpus, options.leases, console) if gpus else []
    set_stop_time(options.stop_lead)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    os.environ["OMP_NUM_THREADS"] = str(max(1, options.threads // processes))
    if gpus:
        console.say(f"GPUs {','.join(devices)}")
        os.environ.setdefault(*GROWING_SEGMENTS)
    else:
        os.environ.update(KEEP_MEMORY)
    if gpus == 0 and processes == 1 and options.nodes == 1:
        become(options.script, options.arguments)
    meeting = Meeting(options.nodes, options.meet) if options.meet else None
    return run_processes(options.script, options.arguments, processes, meeting)


if __name__ == "__main__":
    sys.exit(main())
