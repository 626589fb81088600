"""Do batching, the shared prefix and the order of items change answers? Compared with unbatched, uncached `generate`.

Every item of every task of a finished run is answered twice in fp32: by this package's generator, all items of a
draw together, and by transformers' `generate`, one item at a time and without a cache, stopped at a newline after
visible text. Token ids may differ only where the reference's two best logits at the first differing token are less
than 1e-3 apart; such items, and any true exception, are listed.

    python comparisons/exactness.py --results results/demo --model results/demo/models/smollm2-135m/pretrained

Ends with one line of JSON: items, identical, close (differ, at a margin below 1e-3), exceptions, and how many of the
identical ones had such a close call (close_calls).
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from common.data.questions import Question
from common.evaluation.draws import Draw, Evaluation, build_draw
from common.files.parquet import read_parquet
from common.models.decoding import decode
from common.models.devices import limit_threads
from common.models.generation import Generator
from common.models.loading import load_model, load_tokenizer
from common.models.shared_prefix import IMPLEMENTATION

MARGIN = 1e-3
LINE = re.compile(r"\S[^\n]*\n")


class LineEnd(StoppingCriteria):
    """Stops one generation at a newline after visible text."""

    def __init__(self, tokenizer: Any, prompt_length: int):
        self._tokenizer, self._prompt_length = tokenizer, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        text = decode(self._tokenizer, input_ids[0, self._prompt_length :].tolist())
        return torch.tensor([LINE.search(text) is not None])


def reference(model: Any, tokenizer: Any, prompt: list[int], limit: int) -> tuple[list[int], list[float]]:
    """Tokens `generate` gives for one prompt, and the difference of the two best logits at each."""
    ids = torch.tensor([prompt])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, use_cache=False,
        stopping_criteria=StoppingCriteriaList([LineEnd(tokenizer, len(prompt))]),
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    best = [logits[0].float().topk(2).values for logits in output.logits]
    return output.sequences[0, len(prompt) :].tolist(), [float(two[0] - two[1]) for two in best]


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    """Index of the first token that differs, or is missing in one of them; None when there is none."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    different = next((i for i, (one, other) in pairs if one != other), min(len(ours), len(theirs)))
    return None if ours == theirs else different


def compare(generator: Generator, model: Any, tokenizer: Any, draw: Draw) -> Iterator[dict[str, Any]]:
    """For each item of a draw: its key, whether the tokens are the same, margins, and both texts."""
    outcomes = {}
    for batch in generator.run(draw.requests, draw.max_new_tokens):
        outcomes |= batch
    for request in draw.requests:
        ours = outcomes[request.key].tokens
        theirs, margins = reference(model, tokenizer, request.prompt, draw.max_new_tokens)
        step = first_difference(ours, theirs)
        ended = step is not None and step >= min(len(ours), len(theirs))
        yield {
            "key": request.key,
            "step": step,
            "margin": float("inf") if ended else min(margins) if step is None else margins[step],
            "ours": decode(tokenizer, ours),
            "theirs": decode(tokenizer, theirs),
        }


def kind_of(row: dict[str, Any]) -> str:
    if row["step"] is None:
        return "identical"
    return "close" if row["margin"] < MARGIN else "exceptions"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results directory of a preset")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--items", type=int, help="first items of each task only")
    parser.add_argument("--draws", nargs="+", default=["0:0", "1:1", "3:1"], metavar="K:SEED")
    parser.add_argument("--marker", default="Response:")
    options = parser.parse_args()
    limit_threads()
    tokenizer = load_tokenizer(options.model)
    generator = Generator(load_model(options.model, torch.float32, IMPLEMENTATION), tokenizer, 16384)
    plain = load_model(options.model, torch.float32, "sdpa").eval()
    counts = {"items": 0, "identical": 0, "close": 0, "exceptions": 0, "close_calls": 0}
    started = time.monotonic()
    for folder in sorted((options.results / "data/tasks").iterdir()):
        pool, items = (
            [Question(**row) for row in read_parquet(folder / f"{part}.parquet")] for part in ("train", "eval")
        )
        evaluation = Evaluation(tokenizer, options.marker, folder.name, "shared", 16)
        for k, seed in (map(int, draw.split(":")) for draw in options.draws):
            draw = build_draw(evaluation, pool, items[: options.items], k, seed)
            for row in compare(generator, plain, tokenizer, draw):
                kind = kind_of(row)
                counts["items"] += 1
                counts[kind] += 1
                counts["close_calls"] += kind == "identical" and row["margin"] < MARGIN
                if kind != "identical":
                    place = f"{kind}: {folder.name} {row['key']} token {row['step']} margin {row['margin']:.1e}"
                    print(f"{place}: ours {row['ours']!r}, generate {row['theirs']!r}", flush=True)
            print(f"{folder.name} k={k}: {json.dumps(counts)} {time.monotonic() - started:.0f} s", flush=True)
    print(json.dumps(counts))
    return 0 if not counts["exceptions"] else 1


if __name__ == "__main__":
    sys.exit(main())
