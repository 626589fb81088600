"""Our side of comparisons/evaluate.py: answers the prompts, writes texts and token ids, prints the seconds."""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch

from common.evaluation.draws import Evaluation
from common.files.whole_files import read_json, write_json
from common.models.decoding import decode
from common.models.devices import limit_threads
from common.models.generation import Generator, Request
from common.models.loading import load_model, load_tokenizer
from common.models.shared_prefix import IMPLEMENTATION


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--work", "--model", "--output"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--likelihoods", action="store_true", help="score the answers by likelihood as well")
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        limit_threads()
        work = read_json(options.work)
        tokenizer = load_tokenizer(options.model)
        generator = Generator(load_model(options.model, torch.float32, IMPLEMENTATION), tokenizer, 16384)
        start = time.perf_counter()
        evaluation = Evaluation(tokenizer, "Response:", "csqa", "shared", 0)
        requests = [
            Request(
                f"{i:05d}",
                evaluation.prompt_tokens(prompt),
                [evaluation.answer_tokens(answer) for answer in answers] if options.likelihoods else [],
            )
            for i, (prompt, answers) in enumerate(zip(work["prompts"], work["answers"], strict=True))
        ]
        outcomes = {}
        for batch in generator.run(requests, work["max_new_tokens"]):
            outcomes |= batch
        texts = [decode(tokenizer, outcomes[request.key].tokens) for request in requests]
        seconds = time.perf_counter() - start
    write_json(options.output, {"texts": texts, "token_ids": [request.prompt for request in requests]})
    print(json.dumps({"seconds": round(seconds, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
