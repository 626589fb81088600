"""Plan a run before anything is spent: memory, hours, disk of every kind of job, and what to change if it does not fit.

python scripts/plan_run.py --configfile config/paper.yaml --gpu a100-40gb --profile profiles/slurm
"""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from common.base.errors import EXIT_MACHINE, UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.methods import METHOD_LABELS
from common.config.selection import table5_rows, with_starts
from common.files.whole_files import write_json
from common.jobs.console import reader_may_leave
from common.planning.advice import Problem, host_problems, lead_problems, memory_problems, stuck_problems
from common.planning.basis import Basis
from common.planning.hardware import INTERCONNECTS, Assumption, Gpu, load_assumptions, load_gpu
from common.planning.job_plan import JobPlan, disk_bytes
from common.planning.model_checks import check_models
from common.planning.model_shapes import find_shape
from common.planning.planner import plan_jobs
from common.planning.requests import request
from common.planning.site_profiles import Site, read_site

GB = 1e9


def room_of(gpu: Gpu, job: JobPlan) -> float | None:
    """Bytes of the device a job runs on; of a CPU they are unknown."""
    return gpu.memory_gb * GB if job.gpus else None


def number(value: float, unit: float) -> str:
    """Three significant digits."""
    scaled = value / unit
    return f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def hours(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 3600:.2f}"


def job_rows(jobs: Sequence[JobPlan]) -> list[list[str]]:
    """One row per kind of job."""
    return [
        [
            job.rule, job.model, str(job.count), str(job.gpus or "CPU"), number(job.parameters, 1e9),
            number(job.memory.total, GB), job.memory.moment, number(job.tokens, 1e6), f"{job.flops:.1e}",
            hours(job.seconds["nvlink"]), hours(job.seconds["pcie"]), number(job.disk, GB), number(job.scratch, GB),
        ]
        for job in jobs
    ]  # fmt: skip


JOB_COLUMNS = [
    "rule", "model", "jobs", "GPUs", "10^9 param.", "GB per device", "at the", "10^6 tokens", "FLOP", "h NVLink",
    "h PCIe", "GB result", "GB scratch",
]  # fmt: skip


def memory_rows(jobs: Sequence[JobPlan]) -> list[list[str]]:
    """The parts of each job's memory in one line."""
    return [
        [job.name, ", ".join(f"{name} {number(size, GB)}" for name, size in job.memory.parts.items()),
         number(job.memory.host, GB)]
        for job in jobs
    ]  # fmt: skip


def method_table(config: Mapping[str, Any], jobs: Sequence[JobPlan]) -> list[str]:
    """GPU-hours of the methods of Table 5 beside each other, each with all trainings that it starts from."""
    by_training = {(job.model, job.rule.removeprefix("train_")): job for job in jobs}
    rows = []
    for model, method in table5_rows(config):
        chain = [by_training[pair] for pair in with_starts(config, [(model, method)]) if pair[1] != "pretrained"]
        spent = [[job.gpu_hours(link) for job in chain] for link in INTERCONNECTS]
        hours = ["-" if None in each else f"{sum(filter(None, each)):,.1f}" for each in spent]
        rows.append([model, METHOD_LABELS[method], ", ".join(job.rule for job in chain) or "-", *hours])
    if not rows:
        return []
    headers = ["model", "method of Table 5", "its trainings", *(f"GPU-hours over {link}" for link in INTERCONNECTS)]
    return [tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)]


def total_lines(basis: Basis, jobs: Sequence[JobPlan], scheduled: bool) -> list[str]:
    """GPU-hours over each interconnect, hours one after the other, and disk."""
    nodes = basis.config["compute"]["nodes"]
    lines = [f"Trainings use {nodes} nodes: NVLink stands for InfiniBand between them, PCIe for Ethernet."] * (
        nodes > 1
    )
    several = any(job.gpus > 1 for job in jobs)
    for link in INTERCONNECTS if several else ():
        spent = [job.gpu_hours(link) for job in jobs]
        if None in spent:
            lines.append(f"{link}: this GPU type has none")
            continue
        alone = sum(job.count * (job.seconds[link] or 0.0) for job in jobs)
        lines.append(f"{link}: {sum(filter(None, spent)):,.1f} GPU-hours; {alone / 3600:,.1f} hours one job at a time")
    if not several:
        alone = sum(job.count * (job.seconds["pcie"] or 0.0) for job in jobs)
        lines.append(f"no job uses several GPUs: {alone / 3600:,.1f} hours one job at a time over any interconnect")
    disk = disk_bytes(basis, jobs, scheduled)
    state = "all trainings that a scheduler runs at once" if scheduled else "one job at a time"
    lines.append(
        f"disk: {number(disk.total, GB)} GB = downloads and base models {number(disk.base_models, GB)}, trained models "
        f"{number(disk.trained_models, GB)}, resumable state of {state} {number(disk.resumable_state, GB)}"
    )
    return lines


def request_table(basis: Basis, jobs: Sequence[JobPlan]) -> str:
    """What each kind of job asks a scheduler for."""
    asked = [(job, request(basis, job.rule, job.model)) for job in jobs]
    rows = [[job.name, job.gpus, f"{one.memory_mb / 1000:,.1f}", f"{one.minutes / 60:.2g}"] for job, one in asked]
    headers = ["asked of a scheduler", "GPUs", "GB of each node", "hours"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    lines = []
    for problem in problems:
        lines += [f"does not fit: {problem.where}", f"  {problem.what}"]
        lines += [f"  what to do: {remedy}" for remedy in problem.remedies]
    return lines


def report(
    basis: Basis, jobs: Sequence[JobPlan], problems: Sequence[Problem], assumptions: Mapping[str, Assumption],
    scheduled: bool,
) -> str:  # fmt: skip
    """The plan as text."""
    config, gpu = basis.config, basis.gpu
    estimated = any(job.estimated for job in jobs if job.rule.startswith("train_"))
    lengths = "stated means (these splits are not made yet)" if estimated else "words of the splits"
    shapes = {job.model: basis.shape(job.model) for job in jobs}
    where = "CPUs"
    if any(job.gpus for job in jobs):
        speed = f"{gpu.bf16_tflops} TFLOP/s in {'bf16' if gpu.bf16 else 'fp16'}"
        where = f"{gpu.label}, {gpu.memory_gb} GB, {speed} ({gpu.source})"
    parts = [
        f"Plan of preset `{config['preset']}` on {where}.",
        f"All numbers are estimates, nothing was measured on that machine. Sequence lengths: {lengths}.",
        tabulate(
            [[name, f"{shape.parameters:,}", shape.origin] for name, shape in shapes.items()],
            headers=["model", "parameters", "configuration from"], tablefmt="simple", disable_numparse=True,
        ),
        tabulate(job_rows(jobs), headers=JOB_COLUMNS, tablefmt="simple", disable_numparse=True),
        *method_table(config, jobs),
        tabulate(memory_rows(jobs), headers=["job", "memory of a device by part, GB", "GB of CPU memory"],
                 tablefmt="simple", disable_numparse=True),
        request_table(basis, jobs),
        "\n".join(total_lines(basis, jobs, scheduled)),
        "\n".join(problem_lines(problems)) or "Everything fits.",
        "Assumed:\n" + "\n".join(
            f"  {name} = {entry.value:g}  {entry.unit} [{entry.source}]" for name, entry in assumptions.items()
        ),
    ]  # fmt: skip
    return "\n\n".join(parts)


def as_json(jobs: Sequence[JobPlan], problems: Sequence[Problem]) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "jobs": [
            {
                "rule": job.rule, "model": job.model, "count": job.count, "gpus": job.gpus,
                "parameters": job.parameters, "memory": dict(job.memory.parts), "memory_bytes": job.memory.total,
                "host_bytes": job.memory.host, "tokens": job.tokens, "flops": job.flops, "seconds": dict(job.seconds),
                "checkpoint_bytes": job.checkpoint, "scratch_bytes": job.scratch, "result_bytes": job.disk,
            }
            for job in jobs
        ],
        "problems": [{"where": p.where, "what": p.what, "remedies": p.remedies} for p in problems],
    }  # fmt: skip


def plan(arguments: argparse.Namespace) -> int:
    """Print the plan; 3 when something does not fit."""
    config = load_configuration(ROOT / "config.yaml", arguments.configfile, {})
    gpu = load_gpu(arguments.gpu or config["compute"]["gpu_type"])
    assumptions = load_assumptions(arguments.assumptions)
    site: Site = read_site(arguments.profile)
    assumed = {name: entry.value for name, entry in assumptions.items()}
    results = ROOT / "results" / config["preset"]
    check_models(config, results)
    basis = Basis(config=config, gpu=gpu, assumed=assumed, results=results, find=find_shape, gpus=site.gpus)
    jobs = list(plan_jobs(basis))
    problems = memory_problems(basis, jobs, lambda job: room_of(gpu, job))
    lead = config["compute"]["stop_lead_seconds"] if site.scheduled else None
    problems += host_problems(jobs, site) + lead_problems(jobs, site, assumed, lead)
    problems += stuck_problems(jobs, assumed, config["compute"]["stuck_seconds"])
    with reader_may_leave():
        print(report(basis, jobs, problems, assumptions, scheduled=site.scheduled))
    if arguments.json:
        write_json(arguments.json, as_json(jobs, problems))
    return EXIT_MACHINE if problems else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="configuration overlays")
    parser.add_argument("--gpu", help="GPU type of resources/hardware/gpus.yaml (default: compute.gpu_type)")
    parser.add_argument("--profile", type=Path, help="profile directory whose GPUs and signals are taken into account")
    parser.add_argument("--assumptions", type=Path, help="YAML file with other values than assumptions.yaml")
    parser.add_argument("--json", type=Path, help="file to write the plan to")
    try:
        return plan(parser.parse_args(argv))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
