"""Are batching, the shared prefix and the order of items free of consequences? Against unbatched, uncached `generate`.

Every item of every task of a finished run is answered twice in fp32: by this package's generator, all items of a
draw together, and by transformers' `generate` one item at a time without a cache. Texts may differ only where the two
best logits came closer than 1e-3 somewhere on the way; such items, and any true exception, are listed.

    python comparisons/exactness.py --results results/demo --model results/demo/models/smollm2-135m/pretrained

Ends with one line of JSON: items, identical, close (differ, but with a margin below 1e-3), exceptions.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch

from common.attention import IMPLEMENTATION
from common.evaluation import Draw, Evaluation, build_draw
from common.generation import Generator, decode
from common.models import load_model, load_tokenizer
from common.rows import read_parquet
from common.tasks import Question

MARGIN = 1e-3


def visible(text: str) -> str:
    """The text up to a newline after visible text, where this package stops."""
    return text.lstrip().split("\n")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results directory of a preset")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--items", type=int, help="first items of each task only")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 1, 3])
    options = parser.parse_args()
    tokenizer = load_tokenizer(options.model)
    ours = Generator(load_model(options.model, torch.float32, IMPLEMENTATION), tokenizer, 16384)
    plain = load_model(options.model, torch.float32, "sdpa").eval()
    counts = {"items": 0, "identical": 0, "close": 0, "exceptions": 0}

    def reference(prompt: list[int], limit: int) -> str:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        settings = {"max_new_tokens": limit, "do_sample": False, "use_cache": False}
        generated = plain.generate(ids, attention_mask=mask, **settings)[0, len(prompt) :].tolist()
        return decode(tokenizer, generated)

    def compare(task: str, draw: Draw) -> None:
        outcomes = {}
        for batch in ours.run(draw.requests, draw.max_new_tokens):
            outcomes |= batch
        for request in draw.requests:
            outcome = outcomes[request.key]
            text = decode(tokenizer, outcome.tokens)
            counts["items"] += 1
            if visible(text) == visible(reference(request.prompt, draw.max_new_tokens)):
                counts["identical"] += 1
            else:
                kind = "close" if outcome.margin < MARGIN else "exceptions"
                counts[kind] += 1
                print(f"{kind}: {task} {request.key} margin {outcome.margin:.2e} {text!r}", flush=True)

    for folder in sorted((options.results / "data/tasks").iterdir()):
        pool, items = (
            [Question(**row) for row in read_parquet(folder / f"{part}.parquet")] for part in ("train", "eval")
        )
        evaluation = Evaluation(tokenizer, "Response:", folder.name, "shared", 16)
        for k in options.shots:
            compare(folder.name, build_draw(evaluation, pool, items[: options.items], k, 1 if k else 0))
            print(f"{folder.name} k={k}: {json.dumps(counts)}", flush=True)
    print(json.dumps(counts))
    return 0 if not counts["exceptions"] else 1


if __name__ == "__main__":
    sys.exit(main())
