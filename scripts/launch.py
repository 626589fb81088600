"""Start a script on the devices its job was given.

Without a GPU the script replaces this process (`exec`). With GPUs, or several processes, torchrun starts one process
per device in standalone mode, which picks a free port. Either way a signal of the scheduler reaches the script, and the
script's exit code becomes that of the job.

Which GPUs a job gets is decided in common/jobs/gpu_leases.py.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE, UserError
from common.base.processes import end_with_parent
from common.jobs.console import Console, count
from common.jobs.gpu_leases import LEASES, assign_gpus

# How long torchrun lets a script save its state after SIGTERM before it kills it; its own default is 30 seconds.
# A day means: the scheduler decides.
SECONDS_TO_STOP = 24 * 3600
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


def torchrun_arguments(script: str, arguments: list[str], processes: int) -> list[str]:
    """Arguments of torchrun; without "--" it would take `--log` as its own option."""
    options = ["--standalone", f"--nproc-per-node={processes}", f"--shutdown-timeout={SECONDS_TO_STOP}"]
    return [*options, "--", __file__, WORKER, script, *arguments]


def run_processes(script: str, arguments: list[str], processes: int) -> int:
    """Start `processes` copies of the script and wait for them.

    Returns:
        The exit code of the first process that failed, 75 when a signal stopped them, else 0.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        torchrun.main(torchrun_arguments(script, arguments, processes))
    except SignalException:
        return EXIT_RESUMABLE
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        remedy = "if memory ran out, request more of it or lower `per_device_batch_size`; then run again: it resumes"
        sys.stderr.write(f"{UserError(f'{name} ended process {rank} of {processes}', script, remedy)}\n")
        return EXIT_MACHINE
    return 0


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
    parser.add_argument("--gpus", type=count, required=True, help="GPUs of this job; 0 for none")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto", help="cpu leaves requested GPUs unused")
    parser.add_argument("--processes", type=count, default=1, help="processes when no GPU is used")
    parser.add_argument("--threads", type=count, required=True, help="CPU threads of the job, shared by its processes")
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
    gpus = options.gpus if options.device == "auto" else 0
    processes = gpus or max(1, options.processes)
    if options.gpus and not gpus:
        console.say(f"device: cpu; the GPUs requested ({options.gpus}) stay unused")
    try:
        devices = assign_gpus(gpus, options.leases, console) if gpus else []
    except UserError as error:
        console.write(f"{error}\n")
        return error.code
    set_stop_time(options.stop_lead)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    os.environ["OMP_NUM_THREADS"] = str(max(1, options.threads // processes))
    if gpus:
        console.say(f"GPUs {','.join(devices)}")
        os.environ.setdefault(*GROWING_SEGMENTS)
    else:
        os.environ.update(KEEP_MEMORY)
    if gpus == 0 and processes == 1:
        become(options.script, options.arguments)
    return run_processes(options.script, options.arguments, processes)


if __name__ == "__main__":
    sys.exit(main())
