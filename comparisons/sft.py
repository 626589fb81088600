"""Training speed: real tokens per second of this package's SFT, TRL's SFTTrainer, and padding to 512.

All train SmolLM2-135M in fp32 without gradient checkpointing on the same examples, global batch 128 in micro-batches
of 8, each in a process of its own with the same allocator settings, one after the other:

  ours         global batches sorted by length (the same prompts per step as in random order)
  trl          TRL's SFTTrainer as it is: random order, padded to the longest of each micro-batch
  trl_grouped  with examples of like length in each step (`train_sampling_strategy: group_by_length`), which changes
               what a step learns from
  trl_packed   with examples packed into rows of 512 tokens, one row at once; each attends to itself alone
  pad_512      every example padded to 512 tokens, as Stanford Alpaca and DeepSpeed-Chat do; since every micro-batch
               then costs the same, a few are timed and counted with the data's mean number of real tokens

    python comparisons/sft.py --data pairs.jsonl --model results/demo/models/smollm2-135m/pretrained

The data is JSONL with instruction, input and best. Ends with one line of JSON: vs_trl and the like (ratios of real,
non-padding tokens per second, above 1: ours is faster), and the largest difference of a per-example loss.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from peers import run_worker
from workers import SFT_MODES

from launch import KEEP_MEMORY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="JSONL with instruction, input, best")
    parser.add_argument("--model", type=Path, default=Path("results/demo/models/smollm2-135m/pretrained"))
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps; padding to 512 makes six micro-batches")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ.update(KEEP_MEMORY)
    results = {}
    for mode in SFT_MODES:
        print(f"{mode}: {options.steps} steps of 128 examples, fp32, no checkpointing", flush=True)
        worker = Path(__file__).with_name("sft_worker.py")
        arguments = ["--mode", mode, "--data", str(options.data), "--model", str(options.model)]
        results[mode] = run_worker(sys.executable, worker, options.threads, *arguments, "--steps", str(options.steps))
    ours = results.pop("ours")
    ratios = {
        f"vs_{mode}": round(ours["tokens_per_second"] / peer["tokens_per_second"], 2) for mode, peer in results.items()
    }
    differences = [abs(a - b) for peer in results.values() for a, b in zip(ours["losses"], peer["losses"], strict=True)]
    ratios["largest_loss_difference"] = max(differences)
    print(json.dumps(ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
