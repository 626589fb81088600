"""Planned seconds of a finished run's jobs beside those its benchmarks hold, and the speeds that would make them agree.

    python comparisons/run_time.py --preset demo

The speeds and starts are those of resources/hardware/assumptions.yaml; edit them there. On a machine that does other
work as well, `--cpu-time` takes the processor time per thread in the place of the time that passed. A start is best
seen in the smoke preset, whose steps take no time to speak of: it is the mean of its jobs. Ends with one line of JSON:
jobs, planned and seen (seconds), by kind, and the speeds.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.run_time import kind_of, planned_seconds
from common.planning.schedule import ANSWERS, KINDS, OTHER, TRAINS
from common.planning.shapes import estimate_shape

# By kind: the speed that scales its jobs, and the seconds that it does not scale.
SCALED = {
    TRAINS: ("cpu_gflops", "training_start_seconds"),
    ANSWERS: ("cpu_answering_gflops", "answering_start_seconds"),
}


def model_of(config: Mapping[str, Any], stem: str) -> str:
    """The model a benchmark's name begins with."""
    return max((name for name in config["models"] if stem.startswith(name)), key=len, default="")


def seconds_in(path: Path, threads: int | None) -> float:
    """Seconds in a benchmark file: those that passed, or processor time of so many threads."""
    with open(path, encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    return float(row["cpu_time"]) / threads if threads else float(row["s"])


def jobs_of(basis: Basis, cpu_time: bool) -> Iterator[tuple[str, str, float, float]]:
    """Rule, name, planned and seen seconds of every benchmark."""
    for path in sorted((basis.results / "benchmarks").glob("*/*.tsv")):
        rule = path.parent.name
        threads = 1 if kind_of(rule) == OTHER else basis.device(rule).count
        planned = planned_seconds(basis, rule, model_of(basis.config, path.stem))
        yield rule, path.stem, planned, seconds_in(path, threads if cpu_time else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--results", type=Path, help="directory of its results (default: results/PRESET)")
    parser.add_argument("--cpu-time", action="store_true", help="processor time per thread instead of time passed")
    arguments = parser.parse_args()
    overlays = [] if arguments.preset == "demo" else [ROOT / f"config/{arguments.preset}.yaml"]
    config = load_configuration(ROOT / "config.yaml", overlays, {})
    results = arguments.results or ROOT / "results" / arguments.preset
    assumed = {name: entry.value for name, entry in load_assumptions().items()}
    gpu = load_gpu(config["compute"]["gpu_type"])
    jobs = list(jobs_of(Basis(config, gpu, assumed, results, estimate_shape), arguments.cpu_time))
    found: dict[str, Any] = {"speeds": {}}
    for rule, name, planned, seen in jobs:
        print(f"{rule:<22}{name:<44}planned {planned:7.1f} s   seen {seen:7.1f} s")
    for kind in KINDS:
        pairs = [(planned, seen) for rule, _, planned, seen in jobs if kind_of(rule) == kind]
        planned, seen = (sum(values) for values in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        found[kind] = {"jobs": len(pairs), "planned": round(planned, 1), "seen": round(seen, 1)}
        if kind in SCALED:
            speed, start = SCALED[kind][0], len(pairs) * assumed[SCALED[kind][1]]
            if seen > start:
                found["speeds"][speed] = round(assumed[speed] * (planned - start) / (seen - start), 1)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
