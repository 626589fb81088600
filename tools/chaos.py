"""Kill the smoke preset with SIGKILL again and again, rerun it, and compare its results with an undisturbed run's.

python tools/chaos.py            # at least 20 kills, about half an hour on two cores
python tools/chaos.py --short    # a few kills on a part of the preset
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from process_watch import WriterWatch, alive, kill_sessions, running
from project_copy import copy_project

PRESET = "smoke"
RESULTS = Path("results") / PRESET
ACTOR = "tiny-opt-actor"
# Long enough to be hit half-way, with a checkpoint every second.
LONGER: dict[str, Any] = {
    "preset": PRESET,
    "compute": {"checkpoint_seconds": 1},
    "methods": {"sft": {"training": {"epochs": 36}}, "ppo": {"epochs": 12}},
    "evaluation": {"items": 40},
}
SMALLER = {
    "table3": {"models": ["tiny-llama"], "methods": ["pretrained", "sft"], "tasks": ["sst2"]},
    "evaluation": {**LONGER["evaluation"], "shots": [0, 1], "seeds": [1]},
}
# What is asked of Snakemake to have a rule run, and what the rule leaves behind.
OUTPUTS = {
    "train_sft": ["training/tiny-llama/sft/metrics.csv", "training/tiny-llama/sft", "models/tiny-llama/sft"],
    "train_ppo": [f"training/{ACTOR}/ppo/metrics.csv", f"training/{ACTOR}/ppo", f"models/{ACTOR}/ppo"],
    "evaluate_task": ["eval/tiny-llama/sft/sst2/k0_seed0.json", "eval/tiny-llama/sft/sst2"],
}
TREE, ALONE, WRITE, ANY = "the whole tree", "Snakemake alone", "during a write", "any"
KILLS = [(TREE, rule) for rule in OUTPUTS for _ in range(5)] + [(ALONE, rule) for rule in OUTPUTS]
KILLS += [(WRITE, rule) for rule in ("train_sft", "train_ppo") for _ in range(2)]
FEW_KILLS = [(TREE, rule) for rule in OUTPUTS] + [(ALONE, "train_sft"), (WRITE, "train_ppo")]
COMPARED = ("tables/*", "models/*/*/*.safetensors", "eval/*/*/*/*.parquet")
# No two runs take the same hours; the other cells of cells.csv are in each table's own file.
HOURS = re.compile(r"tables/(costs[._]|cells\.csv)")
# Of tables as JSON: when and how long they were made.
TOLD_APART = ("provenance", "record_sha256")
WAITING = "waiting: another process still writes here"


class Chaos:
    """A clone of the project that is run and killed.

    Args:
        project: the clone.
        overlay: configuration over the preset's.
        targets: what a whole run makes.
        chance: draws the moments.
    """

    def __init__(self, project: Path, overlay: Path, targets: list[str], chance: random.Random):
        self.project, self.targets, self.chance = project, targets, chance
        self._command = [sys.executable, "-m", "snakemake", "--quiet", "all", "--cores", "2"]
        self._config = ["--configfile", f"config/{PRESET}.yaml", str(overlay)]
        self.watch = WriterWatch(project / RESULTS / "scratch")
        self.seconds: dict[str, float] = {}
        self.kills, self.reruns, self.waits = Counter[tuple[str, str]](), 0, 0

    def start(self, targets: list[str]) -> subprocess.Popen:
        """Snakemake in a session of its own; what it prints is kept in chaos.log."""
        with open(self.project / "chaos.log", "ab") as log:
            process = subprocess.Popen(
                [*self._command, *targets, *self._config], cwd=self.project, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.watch.sessions.add(process.pid)
        return process

    def finish(self) -> None:
        """Run to the end.

        Raises:
            SystemExit: when the run fails.
        """
        if self.start(self.targets).wait():
            sys.exit((self.project / "chaos.log").read_text(errors="replace")[-6000:])

    def unlock(self) -> None:
        subprocess.run([*self._command, "--unlock", *self._config], cwd=self.project, check=True, capture_output=True)

    def learn_durations(self) -> None:
        """Seconds of each rule's job, from an undisturbed run's benchmarks."""
        for rule in OUTPUTS:
            files = (self.project / RESULTS / "benchmarks" / rule).glob("*.tsv")
            self.seconds[rule] = min(float(file.read_text().splitlines()[1].split("\t")[0]) for file in files)

    def strike_anywhere(self) -> None:
        """Kill a whole run, whatever it is doing."""
        process = self.start(self.targets)
        moment = self.chance.uniform(2, 60)
        time.sleep(moment)
        self.kills[TREE, ANY] += 1
        print(f"kill {self.kills.total()}: wherever the run is, {moment:.1f} s in", flush=True)
        kill_sessions(process.pid)
        process.wait()
        self.unlock()
        self.reruns += 1

    def strike(self, kind: str, rule: str) -> None:
        """Kill once, inside `rule`; a job that ends before its moment is deleted and run again."""
        while True:
            process = self.start([str(RESULTS / OUTPUTS[rule][0])])
            victim = self._wait_for_job(process, rule)
            moment = self._wait_for_moment(kind, rule, victim) if victim else None
            if victim and moment is not None and alive(victim):
                break
            process.wait()
            self.forget(rule)
        self.kills[kind, rule] += 1
        print(f"kill {self.kills.total()}: {rule}, {kind}, {moment:.1f} s in", flush=True)
        if kind == ALONE:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self._rerun_beside(rule)
            return
        kill_sessions(process.pid)
        process.wait()
        if kind == WRITE and not self._being_written(rule):
            sys.exit(f"{rule} was not writing when it was killed")
        self.unlock()
        self.reruns += 1  # the next kill or the last run continues with this job

    def _wait_for_job(self, process: subprocess.Popen, rule: str) -> int | None:
        while process.poll() is None:
            if pid := running(process.pid, f"{rule}.py"):
                return pid
            time.sleep(0.02)
        return None

    def _wait_for_moment(self, kind: str, rule: str, victim: int) -> float | None:
        """Seconds after which a job is to be killed; None when it ended before."""
        started = time.monotonic()
        share = self.chance.uniform(0.02, 0.15) if kind == ALONE else self.chance.uniform(0.02, 0.95)
        while alive(victim):
            passed = time.monotonic() - started
            if self._being_written(rule) if kind == WRITE else passed > share * self.seconds[rule]:
                return passed
            time.sleep(0.001 if kind == WRITE else 0.02)
        return None

    def _being_written(self, rule: str) -> bool:
        """Whether some file of a checkpoint is where checkpoints are written before they are complete."""
        return any((self.project / RESULTS / "scratch" / rule).glob("*/*/partial/checkpoint-*/*"))

    def _rerun_beside(self, rule: str) -> None:
        """Run again while the killed Snakemake's job still runs; the rerun must wait for it."""
        self.unlock()
        self.reruns += 1
        before = (self.project / "chaos.log").stat().st_size
        failed = self.start([str(RESULTS / OUTPUTS[rule][0])]).wait()
        log = (self.project / "chaos.log").read_bytes()[before:].decode(errors="replace")
        self.waits += WAITING in log
        if failed:
            sys.exit(log[-6000:])
        print(f"  reruns that waited for an orphan so far: {self.waits}", flush=True)

    def forget(self, rule: str) -> None:
        """Delete what a rule made and its resumable state, so that it runs from its beginning."""
        for name in (*OUTPUTS[rule][1:], f"scratch/{rule}"):
            shutil.rmtree(self.project / RESULTS / name, ignore_errors=True)


def differences(first: Path, second: Path) -> tuple[list[str], int]:
    """Files of two runs that differ or that only one has, and how many were compared."""
    names = {
        str(path.relative_to(run / RESULTS)) for run in (first, second) for pattern in COMPARED
        for path in (run / RESULTS).glob(pattern) if not HOURS.match(str(path.relative_to(run / RESULTS)))
    }  # fmt: skip

    def content(run: Path, name: str) -> object:
        path = run / RESULTS / name
        if not path.exists() or path.suffix != ".json":
            return path.read_bytes() if path.exists() else None
        return {key: value for key, value in json.loads(path.read_bytes()).items() if key not in TOLD_APART}

    return sorted(name for name in names if content(first, name) != content(second, name)), len(names)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few kills on a part of the preset")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: drawn)")
    options = parser.parse_args(argv)
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    chance, began = random.Random(seed), time.monotonic()
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        overlay = Path(folder) / "overlay.yaml"
        overlay.write_text(yaml.safe_dump({**LONGER, **(SMALLER if options.short else {})}))
        targets = [str(RESULTS / "tables" / f"{name}.csv") for name in ("table2", "table3")] if options.short else []
        calm = Chaos(copy_project(Path(folder) / "calm"), overlay, targets, chance)
        wild = Path(folder) / "wild"
        if not options.short:
            copy_project(wild)
        calm.finish()
        calm.learn_durations()
        print(f"the undisturbed run took {time.monotonic() - began:.0f} s", flush=True)
        if options.short:  # with the data and models that were prepared
            shutil.copytree(calm.project, wild)
        chaos = Chaos(wild, overlay, targets, chance)
        chaos.seconds = calm.seconds
        shutil.rmtree(wild / RESULTS / "tables", ignore_errors=True)
        for rule in OUTPUTS:
            chaos.forget(rule)
        chaos.watch.start()
        kills = list(FEW_KILLS if options.short else KILLS)
        chance.shuffle(kills)
        try:
            for _ in range(0 if options.short else 3):
                chaos.strike_anywhere()
            for kind, rule in kills:
                chaos.strike(kind, rule)
            chaos.finish()
            chaos.watch.stop()
        finally:
            kill_sessions(*chaos.watch.sessions)
        differing, compared = differences(calm.project, wild)
    for kind in (TREE, ALONE, WRITE):
        print(f"killed, {kind}: {', '.join(f'{rule} {chaos.kills[kind, rule]}' for rule in (*OUTPUTS, ANY))}")
    print(f"kills {chaos.kills.total()}, reruns {chaos.reruns}, reruns that waited for an orphan {chaos.waits}")
    violations = chaos.watch.violations
    print(f"writers seen {chaos.watch.seen.total()} times, two at once or without the lock {len(violations)}")
    print(f"files compared {compared}, differences {len(differing)}; {(time.monotonic() - began) / 60:.1f} minutes")
    print("\n".join([*violations, *differing]))
    return int(bool(differing or violations))


if __name__ == "__main__":
    sys.exit(main())
