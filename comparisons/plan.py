"""Planning time of the workflow as the grid grows: Snakemake dry runs, fresh and with nothing left to do.

Two grids are planned, each in a copy of the project and at growing size, one after the other in one run:

  jobs         more models, each prepared, trained by two methods and evaluated on four tasks
  score files  more draws of in-context examples for one model; the number of jobs stays the same

Fresh: nothing was made yet. Nothing to do: every output is there, with the records Snakemake keeps of it, so that its
parameters and inputs are compared as well; the dry run must then plan no job. No model is built or trained.

    python comparisons/plan.py --sizes 1250 2500 5000 10000

Ends with one line of JSON: jobs and seconds (the fresh plans of the first grid), seconds_nothing_to_do, the same for
score_files, and growth: the exponent e of seconds ~ jobs^e between the two largest sizes; 1 is linear growth, less is
slower. A start of Snakemake alone takes a few seconds and is part of every time.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from project_copy import copy_project

TASKS, METHODS = 4, 3
QUIET = ["--quiet", "rules", "host", "reason"]


def overlay(target: Path, models: int, seeds: int) -> Path:
    """A configuration with this many models and draws of examples."""
    names = [f"m{i}" for i in range(models)]
    content = {
        "preset": "grid",
        "models": {name: {"label": name, "source": {"kind": "local", "path": "base-model"}} for name in names},
        "table3": {"models": names},
        "rl": {"actor": "m0", "reward": "m0"},
        "evaluation": {"shots": [0, 1, 3], "seeds": list(range(1, seeds + 1))},
        "marker_table": {"methods": []},
    }
    path = target / "grid.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


# Snakemake waits a tenth of a second at each output it touches; with thousands of them that is all it does.
TOUCH = """
import sys
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0
main(sys.argv[1:])
"""


def snakemake(target: Path, *options: str, program: Sequence[str] = ("-m", "snakemake")) -> tuple[str, float]:
    """Output and seconds of one call on the grid."""
    command = [sys.executable, *program, *options, "--configfile", "grid.yaml"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"error: a dry run failed\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr, seconds


def planned_jobs(output: str) -> int:
    """Jobs a dry run plans, the final target not counted."""
    found = re.search(r"^total\s+(\d+)", output, re.MULTILINE)
    return int(found[1]) - 1 if found else 0


def make_outputs(target: Path) -> int:
    """Create every output of the grid and let Snakemake record them; the number of score files."""
    listed, _ = snakemake(target, "-n")
    found = re.findall(r"^ {4}output: (.*)$", listed, re.MULTILINE)
    outputs = [Path(path) for line in found for path in line.split(", ")]
    for output in outputs:
        path = target / output
        if path.suffix in (".csv", ".html", ".json", ".md", ".parquet", ".svg", ".tex"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    snakemake(target, "--touch", "--forceall", *QUIET, program=("-c", TOUCH))
    if not any((target / ".snakemake" / "metadata").iterdir()):
        sys.exit("error: Snakemake recorded nothing of the outputs")
    return sum("eval" in output.parts and output.suffix in (".json", ".parquet") for output in outputs)


def measure(models: int, seeds: int) -> dict[str, float]:
    """One size of a grid: jobs, score files and both times."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "project"
        copy_project(target)
        (target / "base-model").mkdir()  # in place of a base model
        overlay(target, models, seeds)
        output, fresh = snakemake(target, "-n", *QUIET)
        jobs = planned_jobs(output)
        files = make_outputs(target)
        output, again = snakemake(target, "-n", *QUIET)
        if planned_jobs(output):
            sys.exit(f"error: {planned_jobs(output)} jobs are planned where nothing is left to do\n{output[-2000:]}")
        print(f"  {jobs} jobs, {files} score files: {fresh:.1f} s fresh, {again:.1f} s with nothing to do", flush=True)
        return {"jobs": jobs, "score_files": files, "seconds": round(fresh, 2), "nothing": round(again, 2)}


def exponent(sizes: list[float], seconds: list[float]) -> float | None:
    """Of seconds ~ size^e between the two largest sizes."""
    if len(sizes) < 2 or sizes[-1] == sizes[-2]:
        return None
    return round(math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2]), 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1250, 2500, 5000, 10000], help="jobs, or score files")
    options = parser.parse_args()
    print("jobs of one and of two models, to know how many a model brings", flush=True)
    one, two = (measure(models, 3)["jobs"] for models in (1, 2))
    print(f"grid of jobs: {two - one:.0f} jobs per model", flush=True)
    jobs = [measure(1 + math.ceil((size - one) / (two - one)), 3) for size in options.sizes]
    print("grid of score files: one model, more draws", flush=True)
    per_draw = 2 * METHODS * TASKS
    files = [measure(1, max(1, math.ceil((size / per_draw - 1) / 2))) for size in options.sizes]
    summary: dict[str, Any] = {
        "jobs": [row["jobs"] for row in jobs],
        "seconds": [row["seconds"] for row in jobs],
        "seconds_nothing_to_do": [row["nothing"] for row in jobs],
        "score_files": [row["score_files"] for row in files],
        "score_files_seconds": [row["seconds"] for row in files],
        "score_files_seconds_nothing_to_do": [row["nothing"] for row in files],
    }
    pairs = (("jobs", "seconds"), ("jobs", "seconds_nothing_to_do"), ("score_files", "score_files_seconds"),
             ("score_files", "score_files_seconds_nothing_to_do"))  # fmt: skip
    summary["growth"] = {name: exponent(summary[size], summary[name]) for size, name in pairs}
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
