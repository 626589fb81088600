"""Host time to decode one token with a model that ZeRO-3 trains, beside the plain model.

  plain    the model before DeepSpeed knows it
  ours     the same weights inside `whole()`, as PPO samples its responses
  wrapped  the same with DeepSpeed's `linear` left in place, as `zero.Init` leaves it

A narrow OPT of 32 layers, two prompts, fp32, one process on a CPU: nearly all of the time is Python and the start of
operations, as on a GPU that waits for its host.

    python comparisons/decoding.py

Ends with one line of JSON: milliseconds per token of each, and ratio, ours over plain (1: DeepSpeed costs nothing).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch

from common.models.decoding import Decoding
from common.models.generation import Generator, Request
from common.models.loading import load_model, load_tokenizer, save_model
from common.models.shared_prefix import IMPLEMENTATION
from common.models.sources import from_random
from common.training.engine import start_engine
from common.training.ppo import zero_wrappers
from common.training.ppo.learners import Optimization, build_learner

SOURCE = {
    "architecture": "opt", "vocabulary": 300,
    "config": {"hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 256, "num_hidden_layers": 32,
               "num_attention_heads": 4, "max_position_embeddings": 512},
}  # fmt: skip
PROMPTS = [[2, *range(10, 20)], [2, *range(30, 36)]]
ENDLESS = Decoding(temperature=1.0, seed=1, stop_at_newline=False, stop_at_eos=False, logprobs=True)


def milliseconds(model: Any, tokenizer: Any, tokens: int) -> float:
    """Of one decoding step."""
    generator = Generator(model, tokenizer, 4096)
    requests = [Request(str(i), prompt, []) for i, prompt in enumerate(PROMPTS)]
    started = time.perf_counter()
    for _ in generator.run(requests, tokens, ENDLESS):
        pass
    return (time.perf_counter() - started) / tokens * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--repeats", type=int, default=5, help="of each kind, in turn; medians are compared")
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine = start_engine({"device": "cpu", "engine": "deepspeed"})

    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name)
    save_model(*from_random(SOURCE, ["tokens of a narrow model"], seed=1), folder)
    tokenizer = load_tokenizer(folder)

    def load(dtype: torch.dtype) -> Any:
        return load_model(folder, dtype, IMPLEMENTATION)

    def measure(model: Any) -> float:
        return milliseconds(model, tokenizer, options.tokens)

    updates = Optimization(
        learning_rate=1e-5, schedule="constant", warmup_steps=0, steps=1, betas=(0.9, 0.999), max_grad_norm=1.0,
        per_device=1, accumulation=1, offload="none", gradient_checkpointing=False,
    )  # fmt: skip
    plain, learner = load(torch.float32), build_learner(load, engine, updates, trained=True)
    wrapper = torch.nn.functional.linear
    found: dict[str, list[float]] = {"plain": [], "ours": [], "wrapped": []}
    for _ in range(options.repeats):
        with patch.object(torch.nn.functional, "linear", zero_wrappers.plain_linear()):
            found["plain"].append(measure(plain))
        with learner.whole() as model:
            found["ours"].append(measure(model))
        with patch.object(zero_wrappers, "plain_linear", lambda: wrapper), learner.whole() as model:
            found["wrapped"].append(measure(model))
    medians = {name: round(statistics.median(values), 2) for name, values in found.items()}
    print(json.dumps({**medians, "ratio": round(medians["ours"] / medians["plain"], 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
