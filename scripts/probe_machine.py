"""Whether this machine will do the run: each method on models of full width and few layers, as the preset trains.

python scripts/probe_machine.py --configfile config/paper.yaml

SFT, CoH, reward model and PPO take full batches of the longest sequences, are stopped after the first step, resume, and
end with a batch of which all but one sequence are fillers. A few small steps are compared with fp32 on the CPU, and 32
questions are answered in both. What was measured goes into a file for `plan_run.py --assumptions`. Needs no Snakemake.
"""

import common.base.quick_start

import argparse
import functools
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from common.base.errors import UserError, report_and_exit
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.methods import METHODS
from common.config.selection import used_models
from common.jobs.console import Console
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.model_shapes import shape_of
from common.planning.probe_figures import ProbedTraining, decoding_seconds_at, measured_assumptions, write_assumptions
from common.planning.probe_inputs import make_model
from common.planning.probe_runs import Probe, compare_answers, compare_losses, probe_training

LAYERS, MORE_LAYERS = 2, 3


def probe_all(probe: Probe) -> tuple[list[ProbedTraining], list[str]]:
    """Every method's training, and sentences on what was compared."""
    config, models = probe.basis.config, probe.models
    largest = max(config["table3"]["models"], key=lambda name: probe.basis.shape(name).parameters)
    actor, scorer = config["rl"]["actor"], config["rl"]["reward"]
    found = [probe_training(probe, method, largest, {"model": models[largest]}, method) for method in ("sft", "coh")]
    found.append(probe_training(probe, "reward", scorer, {"model": models[scorer]}, "reward"))
    start = {"actor": models[actor], "reward": probe.folder / "reward" / "model"}
    found.append(probe_training(probe, "ppo", actor, start, "ppo"))
    said = [compare_losses(probe, largest), compare_answers(probe, largest, probe.folder / "sft" / "model")]
    return found, said


def decoding_at_full_depth(probe: Probe, few: ProbedTraining) -> float:
    """Seconds of a decoding step with all layers, from a second rollout with one layer more."""
    actor = probe.basis.config["rl"]["actor"]
    start = {"actor": probe.deeper, "reward": probe.folder / "reward" / "model"}
    more = probe_training(probe, "ppo", actor, start, "ppo_deeper")
    return decoding_seconds_at(probe.depth, (LAYERS, few.decoding), (MORE_LAYERS, more.decoding))


def report(probe: Probe, found: Sequence[ProbedTraining], said: Sequence[str]) -> str:
    """What was measured, as text."""
    rows = [
        [one.method, f"{one.tokens / one.seconds:,.0f}", f"{one.seconds:.2f}",
         f"{1000 * one.decoding:.1f}" if one.decoding else "", f"{one.memory / 1e9:.2f}", f"{one.planned / 1e9:.2f}"]
        for one in found
    ]  # fmt: skip
    where = "first GPU" if probe.gpus else "main process, libraries included"
    headers = ["method", "tokens/s", "s per step", "ms per decoded token", f"GB of {where}", "GB planned"]
    table = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    return "\n".join([table, "", *said])


def work(arguments: argparse.Namespace, console: Console) -> None:
    config = load_configuration(ROOT / "config.yaml", arguments.configfile, {})
    results, folder = ROOT / "results" / config["preset"], arguments.folder
    if folder.exists():
        raise UserError("the folder of the probe is there already", str(folder), "delete it, or name another one")
    gpu = load_gpu(arguments.gpu or config["compute"]["gpu_type"])
    gpus = config["compute"]["gpus"] // config["compute"]["nodes"] if arguments.gpus is None else arguments.gpus
    names = used_models(config)
    own = all((results / "models" / name / "pretrained").is_dir() for name in names)
    make = functools.partial(make_model, config, results=results, own_tokenizer=own)
    made = {name: make(name, layers=LAYERS, folder=folder / "models" / name) for name in sorted(names)}
    actor = config["rl"]["actor"]
    deeper = make(actor, layers=MORE_LAYERS, folder=folder / "models" / "deeper")
    console.say(
        f"models of {LAYERS} layers: {', '.join(f'{name} {one.shape.parameters:,}' for name, one in made.items())}"
    )
    basis = Basis(
        config=config,
        gpu=gpu,
        assumed={name: entry.value for name, entry in load_assumptions().items()},
        results=folder,
        find=lambda config, name, results, kind: shape_of(name, made[name].shape.config, kind),
        gpus={f"train_{method}": gpus for method in METHODS},
        longest={
            method: block["training"]["max_length"]
            for method, block in config["methods"].items()
            if "training" in block
        },
    )
    probe = Probe(
        basis=basis, folder=folder, models={name: one.folder for name, one in made.items()}, deeper=deeper.folder,
        depth=made[actor].depth, processes=arguments.processes,
    )  # fmt: skip
    found, said = probe_all(probe)
    decoding = decoding_at_full_depth(probe, found[-1]) if probe.gpus else 0.0
    print(report(probe, found, said))
    machine = f"{gpus} x {gpu.label}" if probe.gpus else platform.processor() or platform.machine()
    values = measured_assumptions(
        basis.device("train_sft"),
        found,
        threads=probe.processes * max(1, probe.threads // probe.processes),  # as the launcher shares them
        decoding=decoding,
        tokens_per_word=made[actor].tokens_per_word,
        machine=machine,
    )
    write_assumptions(arguments.output, values)
    console.say(f"measured values: {arguments.output}; plan with them: scripts/plan_run.py --assumptions")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="configuration overlays")
    parser.add_argument("--gpus", type=int, help="GPUs to probe (default: those of a node); 0 for none")
    parser.add_argument("--gpu", help="their type, a name of resources/hardware/gpus.yaml")
    parser.add_argument("--processes", type=int, default=1, help="processes of a training where there is no GPU")
    parser.add_argument("--folder", type=Path, required=True, help="folder for everything that is written on the way")
    parser.add_argument("--output", type=Path, required=True, help="YAML file of measured assumptions to write")
    console = Console("probe")
    try:
        work(parser.parse_args(argv), console)
    except UserError as error:
        return report_and_exit(error, "the logs in the probe's folder")
    return 0


if __name__ == "__main__":
    sys.exit(main())
