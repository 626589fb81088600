"""Before a long run: GPUs, memory, disk, bf16, library versions, write access and downloads, all problems at once."""

import common.base.quick_start

import argparse
import dataclasses
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from common.base.errors import EXIT_MACHINE, UserError
from common.base.paths import ROOT
from common.config.settings import scratch_folder
from common.files.whole_files import write_json
from common.jobs.console import Console, argument_parser, gpu_count, run_entry_point
from common.jobs.gpu_leases import SCHEDULERS, visible_devices
from common.jobs.provenance import Provenance
from common.planning.advice import memory_problems
from common.planning.basis import Basis
from common.planning.download_checks import check_downloads
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.job_plan import JobPlan, disk_bytes
from common.planning.machine_checks import (
    GB,
    GpuState,
    MachineFinding,
    assigned,
    available_memory,
    check_compiler,
    check_disk,
    check_gpus,
    check_memory,
    check_preemption,
    check_versions,
    check_writing,
    existing_parent,
    gpu_states,
    has_slices,
    read_pins,
)
from common.planning.model_checks import check_models
from common.planning.model_shapes import find_shape
from common.planning.planner import plan_jobs


def planned_jobs(config: Mapping[str, Any], gpus: int, results: Path) -> tuple[Basis, list[JobPlan]]:
    """The plan for as many GPUs as training jobs ask for here."""
    check_models(config, results)
    there = {**config, "compute": {**config["compute"], "gpus": gpus}}
    assumed = {name: entry.value for name, entry in load_assumptions().items()}
    gpu = load_gpu(config["compute"]["gpu_type"])
    basis = Basis(config=there, gpu=gpu, assumed=assumed, results=results, find=find_shape)
    return basis, list(plan_jobs(basis))


def check_plan(basis: Basis, jobs: list[JobPlan], states: list[GpuState], results: Path) -> list[MachineFinding]:
    """What the plan asks of this machine: memory of GPUs and CPU, disk."""
    found = []
    if states:
        smallest = min(state.total for state in states)
        for problem in memory_problems(basis, jobs, lambda job: smallest if job.gpus else None):
            found.append(MachineFinding(problem.what, problem.where, "; or ".join(problem.remedies)))
        planned = basis.gpu.memory_gb * GB
        if abs(smallest - planned) > 0.1 * planned:
            what = f"the plan is for {basis.gpu.label}, this is {states[0].name} with {smallest / GB:.1f} GB"
            found.append(MachineFinding(what, "compute.gpu_type", "name the type for better estimates", blocks=False))
    scheduled = bool(SCHEDULERS & os.environ.keys())
    if not scheduled:  # there each job requests its own memory, which the plan compares
        hungriest = max(jobs, key=lambda job: job.host_memory)
        found += check_memory(available_memory(), hungriest.host_memory, hungriest.name)
    return found + check_disk(results, disk_bytes(basis, jobs, scheduled).total)


def work(arguments: argparse.Namespace, console: Console) -> None:
    config, results = arguments.settings["config"], arguments.results
    gpus = 0 if config["compute"]["device"] == "cpu" else arguments.gpus
    provenance = Provenance("check_machine.py", arguments.settings)
    devices = visible_devices()
    states = assigned(gpu_states(), devices) if gpus else []
    needed = 0.0
    try:
        basis, jobs = planned_jobs(config, gpus * config["compute"]["nodes"], results)
        needed = max((job.memory.total for job in jobs if job.gpus), default=0.0)
        found = check_plan(basis, jobs, states, results)
    except UserError as error:
        found = [MachineFinding(error.what, error.where, error.remedy)]
    if has_slices(devices):
        remedy = "compare the slice's memory with `make plan` by hand"
        found.append(MachineFinding("parts of GPUs (MIG) were assigned and not looked at", "", remedy, blocks=False))
    else:
        found += check_gpus(states, gpus, needed, torch.version.cuda)
    if states and torch.version.cuda and not torch.cuda.is_available():
        remedy = f"update the driver, or install a torch for it (this one is for CUDA {torch.version.cuda})"
        found.append(MachineFinding("CUDA cannot use the GPUs of this machine", "torch.cuda.is_available", remedy))
    if gpus:
        found += check_compiler(Path(sysconfig.get_path("include")))
    found += check_preemption(os.environ.get("SLURM_JOB_ID", ""))
    found += check_writing([Path(scratch_folder(config, str(results))), results / "logs", arguments.output.parent])
    found += check_versions(read_pins(ROOT / "requirements.lock", ROOT / "envs" / "train.yaml"))
    found += check_downloads(config, results)
    problems = [finding for finding in found if finding.blocks]
    for finding in sorted(found, key=lambda finding: finding.blocks):
        console.write(f"{finding}\n")
    facts = {
        "passed": not problems,
        "findings": [dataclasses.asdict(finding) for finding in found],
        "gpus": [dataclasses.asdict(state) for state in states],
        "cpu_memory_bytes": available_memory(),
        "disk_free_bytes": shutil.disk_usage(existing_parent(results)).free,
        "provenance": provenance.record(),
    }
    if problems:
        console.say(f"{len(problems)} problems, {len(found) - len(problems)} notes")
        remedy = "fix all of the above, then run `make preflight` again"
        raise UserError(f"this machine is not ready for the run: {len(problems)} problems", "", remedy, EXIT_MACHINE)
    write_json(arguments.output, facts)
    console.say(f"this machine is ready for the run ({len(found)} notes); `make probe` tries every training on it")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--gpus", type=gpu_count, required=True, help="GPUs of a training job on each node")
    parser.add_argument("--results", type=Path, required=True, help="directory of the preset's results")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of what was found")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
