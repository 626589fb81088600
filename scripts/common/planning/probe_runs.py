"""The jobs of a probe: each method on the longest sequences, and what is compared with fp32 on the CPU."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE, UserError
from common.base.paths import ROOT
from common.config import settings
from common.config.methods import METHODS
from common.data.prompts import PromptFormat
from common.files.whole_files import canonical_json, read_json
from common.models.loading import load_tokenizer
from common.planning.basis import Basis
from common.planning.job_time import training_flops
from common.planning.probe_figures import LARGEST_DIFFERENCE, ProbedTraining, loss_difference, read_metrics
from common.planning.probe_inputs import write_rows
from common.planning.training_jobs import training_job

FULL_STEPS, ITEMS = 3, 32
SMALL: dict[str, Any] = {"max_length": 64, "per_device_batch_size": 1}


@dataclass(frozen=True)
class Probe:
    """What every part of the probe shares.

    Attributes:
        basis: of the plan of the models that are trained here.
        folder: where everything is written.
        models: directories of the base models by name in the configuration.
        deeper: directory of an actor with one layer more.
        depth: layers of the actor of the run.
        processes: of a training on CPUs.
    """

    basis: Basis
    folder: Path
    models: Mapping[str, Path]
    deeper: Path
    depth: int
    processes: int

    @property
    def gpus(self) -> int:
        device = self.basis.device("train_sft")
        return device.count if device.gpu else 0

    @property
    def threads(self) -> int:
        """CPU threads of a job, as the plan has them; beside GPUs as configured."""
        device = self.basis.device("train_sft")
        return (self.basis.config["compute"]["threads"] or 1) if device.gpu else device.count

    @property
    def ranks(self) -> int:
        return self.gpus or self.processes

    def run(self, script: str, values: Mapping[str, Any], options: Sequence[str], log: str, **how: Any) -> None:
        """Run a script as a rule does: with the launcher, its settings and a log.

        Args:
            script: its name.
            values: its settings.
            options: its other arguments.
            log: name of its log.
            how: `stop` asks it to stop after its first step, `gpus` and `processes` replace those of the probe.

        Raises:
            UserError: when it does not end as it should.
        """
        path, stop = self.folder / "logs" / f"{log}.log", how.get("stop", False)
        command = [
            sys.executable, "scripts/launch.py", "--gpus", str(how.get("gpus", self.gpus)),
            "--processes", str(how.get("processes", self.processes)),
            "--threads", str(self.threads),
            f"scripts/{script}.py", "--settings", canonical_json(values), *options, "--log", str(path),
        ]  # fmt: skip
        environment = {**os.environ, **({"JOB_END_TIME": "1"} if stop else {})}
        done = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != (EXIT_RESUMABLE if stop else 0):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as opened:  # which process a signal ended, the launcher alone tells
                opened.write(done.stderr)
            what = f"{script} ended with exit code {done.returncode}"
            raise UserError(what, str(path), "read that log: what fails here would fail in the run", EXIT_MACHINE)

    def written(self, name: str) -> list[str]:
        """The options that say where and how a training writes."""
        out, compute = self.folder / name, self.basis.config["compute"]
        options = {"scratch": out / "scratch", "metrics": out / "metrics.csv", "output": out / "model"}
        options |= {key: compute[key] for key in ("offload", "checkpoint_seconds", "stuck_seconds")}
        return [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]

    def data(self, method: str, model: str, name: str, *, longest: int, rows: int, prompts: int) -> list[str]:
        """Rows for a model's training, and the options that name them; see `write_rows`."""
        known, folder = METHODS[method], self.folder / name / "rows"
        prompt = PromptFormat.from_settings(self.basis.config["prompt"])
        tokenizer = load_tokenizer(self.models[model])
        write_rows(folder, tokenizer, prompt, longest=longest, prompts=prompts, rows=rows)
        heldout = [f"--heldout={folder / 'heldout_'}{known.split}.parquet"] if known.heldout else []
        return [f"--train={folder / known.split}.parquet", *heldout]


def settings_of(probe: Probe, method: str, model: str, **training: Any) -> dict[str, Any]:
    """Settings of a training job as the preset has them, with other values in its block of hyper-parameters."""
    config = probe.basis.config
    ppo = method == "ppo"
    values = settings.ppo_settings(config, model) if ppo else settings.training_settings(config, method, model)
    block = "ppo" if ppo else "training"
    engine = {"engine": "deepspeed"} if probe.ranks > 1 else {}
    logged = {} if ppo else {"log_steps": 1}
    changed = {block: {**values[block], "epochs": 1, **logged, **training}, "compute": {**values["compute"], **engine}}
    return {**values, **changed}


def probe_training(probe: Probe, method: str, model: str, start: Mapping[str, Path], name: str) -> ProbedTraining:
    """Full batches of the longest sequences, stopped and resumed."""
    values = settings_of(probe, method, model)
    block = values["ppo" if method == "ppo" else "training"]
    batch = block["global_batch_size"]
    longest = block.get("max_length") or block["max_new_tokens"]
    prompts = block.get("max_prompt_length") or longest // 4
    data = probe.data(method, model, name, longest=longest, rows=FULL_STEPS * batch + 1, prompts=prompts)
    options = [*(f"--{role}={folder}" for role, folder in start.items()), *data, *probe.written(name)]
    probe.run(f"train_{method}", values, options, f"{name}_stopped", stop=True)
    probe.run(f"train_{method}", values, options, name)
    rows = read_metrics(probe.folder / name / "metrics.csv")
    record = read_json(probe.folder / name / "model" / "run.json")
    if record["resumed_from_step"] != 1 or len(rows) != FULL_STEPS + 1:
        raise UserError(f"{method} did not resume after its first step", name, "see its log", EXIT_MACHINE)
    memory, planned = float(record["peak_memory_bytes"]), planned_memory(probe.basis, method, model)
    if method == "ppo":
        last = rows[FULL_STEPS - 1]
        seconds, rollout = last["seconds"] - last["rollout_seconds"], last["rollout_seconds"]
        return ProbedTraining(method, 0.0, seconds, batch * longest, memory, planned, rollout / longest)
    seconds = max(0.1, rows[FULL_STEPS - 1]["seconds"] - rows[FULL_STEPS - 2]["seconds"])
    tokens = float(batch * longest * (2 if method == "reward" else 1))
    shape = probe.basis.shape(model, "reward" if method == "reward" else "language")
    flops = tokens * training_flops(shape, longest, values["compute"]["gradient_checkpointing"])
    return ProbedTraining(method, flops, seconds, tokens, memory, planned)


def planned_memory(basis: Basis, method: str, model: str) -> float:
    """Bytes on each device as the plan has it, for the models of the probe."""
    return training_job(basis, method, model).memory.total


def compare_losses(probe: Probe, model: str) -> str:
    """A few small steps as the preset trains, and the same in fp32 on the CPU; how far their losses are apart."""
    batch = max(2, probe.ranks)
    values = settings_of(probe, "sft", model, **SMALL, global_batch_size=batch)
    length = SMALL["max_length"]
    data = probe.data("sft", model, "small", longest=length, rows=3 * batch, prompts=length // 2)
    curves = {}
    for name, on_cpu in (("small", False), ("small_on_cpu", True)):
        compute = {**values["compute"], **({"device": "cpu", "engine": "torch"} if on_cpu else {})}
        options = [f"--model={probe.models[model]}", *data, *probe.written(name)]
        how = {"gpus": 0, "processes": 1} if on_cpu else {}
        probe.run("train_sft", {**values, "compute": compute}, options, name, **how)
        curves[name] = read_metrics(probe.folder / name / "metrics.csv")
    dtype = read_json(probe.folder / "small" / "model" / "run.json")["dtype"]
    found = loss_difference(curves["small"], curves["small_on_cpu"])
    if found > LARGEST_DIFFERENCE[dtype]:
        what = f"losses in {dtype} differ from those of fp32 on the CPU by {found:.2%}"
        raise UserError(what, str(probe.folder / "small"), "do not train here before the cause is known", EXIT_MACHINE)
    return f"losses of {len(curves['small'])} small steps in {dtype}: within {found:.1e} of fp32 on the CPU"


def compare_answers(probe: Probe, model: str, trained: Path) -> str:
    """Questions of the demo's SST2, answered as the preset does and again in fp32."""
    config, task = probe.basis.config, probe.folder / "sst2"
    demo = ROOT / "resources/demo/sst2"
    prepared = {"task": "sst2", "source": {"kind": "files"}, "max_rejected_share": 0.0}
    options = [f"--definition={ROOT / 'resources/tasks/sst2.yaml'}", f"--train={demo / 'train.jsonl'}",
               f"--eval={demo / 'validation.jsonl'}", f"--output={task}"]  # fmt: skip
    probe.run("prepare_task", prepared, options, "prepare_task", gpus=0, processes=1)
    values = settings.evaluation_settings(config, model, "sft")
    values |= {"items": ITEMS, "precision_check_items": ITEMS}
    out = probe.folder / "answers"
    options = [f"--model={trained}", f"--task={task}", "--draws=0:0", f"--scratch={out / 'scratch'}", f"--output={out}"]
    probe.run("evaluate_task", values, options, "answers", gpus=min(1, probe.gpus), processes=1)
    changed = read_json(out / "k0_seed0.json")["precision"]
    if changed is None:
        return f"{ITEMS} questions answered; all in fp32, so there is nothing to compare"
    return f"{ITEMS} questions answered in {changed['dtype']} and in fp32: {changed}"
