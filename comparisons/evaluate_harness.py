"""The peer of comparisons/evaluate.py: lm-evaluation-harness's `hf` model on the same prompts."""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--work", "--model", "--output"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        import os

        import torch
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        work = json.loads(options.work.read_text(encoding="utf-8"))
        model = HFLM(pretrained=str(options.model), device="cpu", dtype="float32", batch_size=16)
        stop = {"until": work["until"], "do_sample": False, "max_gen_toks": work["max_new_tokens"]}
        requests = [
            Instance(request_type="generate_until", doc={}, arguments=(prompt, dict(stop)), idx=i)
            for i, prompt in enumerate(work["prompts"])
        ]
        start = time.perf_counter()
        texts = model.generate_until(requests, disable_tqdm=True)
        seconds = time.perf_counter() - start
        token_ids = [model.tok_encode(prompt) for prompt in work["prompts"]]
    options.output.write_text(json.dumps({"texts": texts, "token_ids": token_ids}), encoding="utf-8")
    print(json.dumps({"seconds": round(seconds, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
