"""The demo's SFT beside a plain training loop of the same model: real tokens per second.

  loop  transformers' model and loss, torch's fused AdamW, full batches of 8 x 64 tokens: nothing is padded, sorted,
        logged or checked
  ours  `scripts/train_sft.py` as the demo runs it, on examples of many lengths, by its own metrics.csv

Both train in fp32 with as many threads, one after the other; the first step of each warms up and is not timed.

    python comparisons/training_loop.py --results results/demo

Ends with one line of JSON: vs_loop, the ratio of real tokens per second (1: padding and the trainer cost nothing).
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from peers import ROOT, run_worker

from launch import KEEP_MEMORY


def our_speed(results: Path, model: Path, scratch: Path, threads: int) -> float:
    """Real tokens per second of the demo's SFT after its first step."""
    record = json.loads((results / "models/smollm2-135m/sft/run.json").read_text(encoding="utf-8"))
    settings = {**record["provenance"]["settings"], "heldout_loss": False}
    splits, metrics = results / "data/splits", scratch / "metrics.csv"
    paths = {
        "model": model, "train": splits / "sft.parquet", "heldout": splits / "heldout_sft.parquet",
        "scratch": scratch, "metrics": metrics, "output": scratch / "sft", "log": scratch / "sft.log",
    }  # fmt: skip
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path.resolve()))]
    command = [sys.executable, "scripts/train_sft.py", "--settings", json.dumps(settings), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, check=True)
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    tokens = float(rows[-1]["num_tokens"]) - float(rows[0]["num_tokens"])
    return tokens / (float(rows[-1]["seconds"]) - float(rows[0]["seconds"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/demo"), help="a finished run of the demo")
    parser.add_argument("--steps", type=int, default=12, help="steps of the loop, the first of which is not timed")
    parser.add_argument("--threads", type=int, default=1, help="1, as the demo trains on two cores")
    options = parser.parse_args()
    os.environ.update(KEEP_MEMORY)
    model = options.results.resolve() / "models/smollm2-135m/pretrained"
    worker = Path(__file__).with_name("training_loop_worker.py")
    print(f"loop: {options.steps} steps of 8 x 64 tokens, {options.threads} thread(s), fp32", flush=True)
    arguments = ["--model", str(model), "--steps", str(options.steps)]
    loop = run_worker(sys.executable, worker, options.threads, *arguments)["tokens_per_second"]
    print(f"ours: the demo's SFT, {options.threads} thread(s), fp32", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        ours = our_speed(options.results.resolve(), model, Path(scratch), options.threads)
    print(f'  {{"tokens_per_second": {ours:.2f}}}')
    print(json.dumps({"vs_loop": round(ours / loop, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
