"""The plain loop of comparisons/training_loop.py: trains some steps and prints tokens per second."""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROWS, LENGTH = 8, 64
TEXT = "A plain loop reads whole batches of real text, and every position of every batch is a token to learn. "


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        speed = measure(options.model, options.steps)
    print(json.dumps({"tokens_per_second": round(speed, 2)}))
    return 0


def measure(folder: Path, steps: int) -> float:
    """Tokens per second after the first step."""
    tokens = AutoTokenizer.from_pretrained(folder)(TEXT * LENGTH * ROWS)["input_ids"]
    batch = torch.tensor(tokens[: ROWS * LENGTH]).view(ROWS, LENGTH)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    moments = []
    for _ in range(steps):
        model(input_ids=batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        moments.append(time.perf_counter())
    return (steps - 1) * batch.numel() / (moments[-1] - moments[0])


if __name__ == "__main__":
    sys.exit(main())
