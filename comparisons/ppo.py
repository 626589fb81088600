"""PPO compared with TRL 1.12.0's PPOTrainer, the last release that has one: episodes per second and peak memory.

Both train SmolLM2-135M as actor, with a frozen reference, a critic and a reward model of the same size, in fp32 without
gradient checkpointing: rollouts of 8 identical prompts, 64 sampled tokens each (EOS ends nothing), one PPO epoch, one
mini-batch. Each runs in a process of its own with the same threads and allocator settings, one after the other; the
first step warms up and is not timed. Ours learns from the rollout in two micro-batches of 4, which sum to the same
gradient; TRL's trainer cannot do this without stepping the optimizer more often.

    python comparisons/ppo.py --prompts resources/demo/instructions/alpaca_gpt4_data.json

Ends with one line of JSON: speed_vs_trl (episodes per second, ours over TRL's) and memory_vs_trl (peak resident memory,
TRL's over ours), above 1: ours is better; and both peaks in bytes.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from peers import ROOT, environment, run_worker

from common.data.prompts import PromptFormat
from common.data.rows import read_rows
from common.files.whole_files import write_json
from common.models.loading import load_tokenizer
from common.training.reward import initial_reward_model
from launch import KEEP_MEMORY

TRL = ["trl==1.12.0", "torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0"]
ENVIRONMENT = ROOT / "comparisons" / ".environments" / "trl"
BATCH, NEW_TOKENS, LONGEST_PROMPT = 8, 64, 128


def prompt_tokens(file: Path, model: Path, count: int) -> list[list[int]]:
    """Tokens of the first prompts that are short enough."""
    tokenizer = load_tokenizer(model)
    prompt = PromptFormat("{instruction}\n", "{instruction}\nInput: {input}\n", {"response": "Response:"})
    found = []
    for _, row in read_rows(file):
        ids = tokenizer(prompt.prompt(row["instruction"], row["input"]) + "Response:")["input_ids"]
        if len(ids) <= LONGEST_PROMPT:
            found.append(ids)
        if len(found) == count:
            return found
    sys.exit(f"error: {file} has only {len(found)} prompts of at most {LONGEST_PROMPT} tokens, {count} are needed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True, help="JSON with instruction and input")
    parser.add_argument("--model", type=Path, default=Path("results/demo/models/smollm2-135m/pretrained"))
    parser.add_argument("--steps", type=int, default=5, help="rollouts, the first of which is not timed")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps must be 2 or more: the first is not timed")
    python = environment(ENVIRONMENT, TRL)
    os.environ.update(KEEP_MEMORY)
    here, results = Path(__file__).resolve().parent, {}
    with tempfile.TemporaryDirectory() as folder:
        work, reward = Path(folder) / "work.json", Path(folder) / "reward"
        prompts = prompt_tokens(options.prompts, options.model, BATCH * options.steps)
        write_json(work, {"prompts": prompts, "batch": BATCH, "new_tokens": NEW_TOKENS})
        initial_reward_model(options.model, reward, seed=1)
        for side, interpreter, script in (("ours", sys.executable, "ppo_worker.py"), ("trl", python, "ppo_trl.py")):
            print(f"{side}: {options.steps} rollouts of {BATCH} prompts, {NEW_TOKENS} new tokens, fp32", flush=True)
            arguments = ["--work", str(work), "--model", str(options.model), "--reward", str(reward)]
            results[side] = run_worker(interpreter, here / script, options.threads, *arguments)
    ours, trl = results["ours"], results["trl"]
    print(
        json.dumps(
            {
                "speed_vs_trl": round(ours["episodes_per_second"] / trl["episodes_per_second"], 2),
                "memory_vs_trl": round(trl["peak_bytes"] / ours["peak_bytes"], 2),
                "peak_bytes": ours["peak_bytes"],
                "peak_bytes_trl": trl["peak_bytes"],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
