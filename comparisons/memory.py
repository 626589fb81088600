"""Planned and measured memory of training on a CPU: the peak less what the process held before its first model.

Each job is a training script of the workflow in a process of its own, with the settings and the allocator of its rule,
on copies of the longest sequence of the data, for which the plan is made. The planned memory is what `make plan`
computes for sequences of this length.

    python comparisons/memory.py --preset demo --steps 3

Jobs whose models or splits do not exist yet are left out and named. Ends with one line of JSON: jobs, planned and
measured (bytes), ratio (planned over measured).
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from peers import ROOT, run_worker

from common.config.loading import load_configuration
from common.config.methods import METHODS
from common.config.settings import ppo_settings, training_settings
from common.data.prompts import PromptFormat
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import canonical_json
from common.models.loading import load_tokenizer
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.job_plan import JobPlan
from common.planning.model_shapes import find_shape
from common.planning.training_jobs import training_job
from common.training.reward import encode_pairs
from common.training.sequences import encode_all, sft_responses
from launch import KEEP_MEMORY
from train_coh import coh_responses

Rows = list[dict[str, Any]]


def lengths_of(config: Mapping[str, Any], method: str, rows: Rows, model: Path) -> list[int]:
    """Tokens of each row's sequence, as the training script encodes it."""
    tokenizer = load_tokenizer(model)
    settings = ppo_settings(config, "") if method == "ppo" else training_settings(config, method, "")
    prompt = PromptFormat.from_settings(settings["prompt"])
    if method == "ppo":
        texts = [prompt.prompt(row["instruction"], row["input"]) + prompt.markers["response"] for row in rows]
        return [len(tokenizer(text)["input_ids"]) for text in texts]
    limit = settings["training"]["max_length"]
    if method == "reward":
        pairs = [encode_pairs(tokenizer, [row], prompt, limit).rows for row in rows]
        return [max((len(side) for pair in found for side in (pair["chosen_ids"], pair["rejected_ids"])), default=0)
                for found in pairs]  # fmt: skip
    respond = {"coh": lambda row: coh_responses(row, prompt, tie_marker=False)}.get(
        method, lambda row: sft_responses(row, prompt)
    )
    encoded = [encode_all(tokenizer, [("", respond(row))], limit).sequences for row in rows]
    return [len(found[0].input_ids) if found else 0 for found in encoded]


def needed(config: Mapping[str, Any], method: str, model: str, results: Path) -> list[Path]:
    """What must exist to measure a job: models and splits."""
    models, splits = results / "models", results / "data" / "splits"
    stages = [models / model / "pretrained", splits / f"{METHODS[method].split}.parquet"]
    if heldout := METHODS[method].heldout:
        stages.append(splits / f"{heldout}.parquet")
    if method == "ppo":
        stages += [models / model / "rl_sft", models / config["rl"]["reward"] / "reward"]
    return stages


def measure(
    config: Mapping[str, Any], method: str, model: str, results: Path, folder: Path, steps: int, threads: int
) -> tuple[int, int]:
    """Longest sequence in tokens, and bytes of the peak less those held before."""
    base, split, *stages = needed(config, method, model, results)
    rows = read_parquet(split)
    lengths = lengths_of(config, method, rows, base)
    block = config["methods"][method]
    count = steps * block.get("training", block)["global_batch_size"]
    longest = max(range(len(rows)), key=lambda i: lengths[i])
    train = folder / "train.parquet"
    write_parquet(train, [{**rows[longest], "id": f"{i}"} for i in range(count)], tuple(rows[0]))
    outputs = ["--scratch", folder / "scratch", "--metrics", folder / "metrics.csv", "--output", folder / "model"]
    if method == "ppo":
        settings = ppo_settings(config, model)
        inputs = ["--actor", stages[0], "--reward", stages[1], "--train", train]
        tokens = lengths[longest] + config["methods"]["ppo"]["max_new_tokens"]
    else:
        settings = training_settings(config, method, model)
        if "heldout_loss" in settings:
            settings["heldout_loss"] = False  # takes time, and less memory than training
        inputs = ["--model", base, "--train", train]
        if METHODS[method].heldout:
            inputs += ["--heldout", stages[0]]
        tokens = lengths[longest]
    arguments = [f"train_{method}", "--settings", canonical_json(settings), *map(str, [*inputs, *outputs])]
    os.environ.update(KEEP_MEMORY)
    found = run_worker(sys.executable, Path(__file__).with_name("memory_worker.py"), threads, *arguments)
    return tokens, found["peak"] - found["before"]


def planned(config: Mapping[str, Any], method: str, model: str, results: Path, longest: int) -> JobPlan:
    """The job as `make plan` sees it, with the sequences' true length."""
    assumed = {name: entry.value for name, entry in load_assumptions().items()}
    gpu = load_gpu(config["compute"]["gpu_type"])
    basis = Basis(config=config, gpu=gpu, assumed=assumed, results=results, find=find_shape, longest={method: longest})
    return training_job(basis, method, model)


def jobs_of(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(method, model) of every training job."""
    table, rl = config["table3"], config["rl"]
    jobs = [(method, model) for model in table["models"] for method in table["methods"] if method != "pretrained"]
    return [*jobs, ("rl_sft", rl["actor"]), ("reward", rl["reward"]), ("ppo", rl["actor"])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="demo", help="demo, smoke, or another that was run on a CPU")
    parser.add_argument("--results", type=Path, help="its results (default: results/<preset>)")
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps; the first has no moments yet")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    overlays = [] if options.preset == "demo" else [ROOT / "config" / f"{options.preset}.yaml"]
    config = load_configuration(ROOT / "config.yaml", overlays, {})
    results = options.results or ROOT / "results" / config["preset"]
    summary: dict[str, list[Any]] = {"jobs": [], "planned": [], "measured": [], "ratio": []}
    for method, model in jobs_of(config):
        if options.methods and method not in options.methods:
            continue
        if missing := [str(path) for path in needed(config, method, model, results) if not path.exists()]:
            print(f"{model} {method}: left out, not there: {', '.join(missing)}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            longest, measured = measure(config, method, model, results, Path(folder), options.steps, options.threads)
        plan = planned(config, method, model, results, longest).memory
        parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in plan.parts.items())
        print(f"{model} {method}, longest {longest} tokens: planned {plan.total / 1e6:.0f} MB ({parts}), "
              f"measured {measured / 1e6:.0f} MB, ratio {plan.total / measured:.2f}", flush=True)  # fmt: skip
        for key, value in zip(summary, (f"{model} {method}", round(plan.total), measured,
                                        round(plan.total / measured, 3)), strict=True):  # fmt: skip
            summary[key].append(value)
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
