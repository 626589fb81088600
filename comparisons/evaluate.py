"""Evaluation speed compared with lm-evaluation-harness: the same items, prompts, examples, model and numeric type.

Both generate greedily with SmolLM2-135M in fp32 for CommonsenseQA items at k = 0 and k = 3, each in a process of its
own, in turn, three times; model loading is not counted. Both are given the same texts, and the comparison ends with
an error unless their token ids are equal. The harness is its `hf` model at batch size 16 in an environment of its own.
Only generation is compared, because the harness is asked for nothing else. Ours is also timed with the likelihood of
every answer, as the workflow runs it.

    python comparisons/evaluate.py --train commonsense_qa/train.jsonl --eval commonsense_qa/validation.jsonl

Ends with one line of JSON: speed_k0, speed_k3 and the same with likelihoods (median time of the harness over ours,
above 1: ours is faster), identical_k0, identical_k3 (items with the same first visible line), items.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from peers import ROOT, environment, run_worker

from common.data.prompts import few_shot_prompt
from common.data.questions import draw_examples
from common.data.task_definitions import load_questions, load_task
from common.files.whole_files import write_json

HARNESS = ["lm_eval==0.4.13", "torch==2.13.0", "transformers==5.23.0", "accelerate"]
ENVIRONMENT = ROOT / "comparisons" / ".environments" / "lm_eval"
LIMIT = 12


def prompts(options: argparse.Namespace, k: int) -> dict[str, Any]:
    """What both sides are given: prompts, possible answers, length limit."""
    task = load_task(ROOT / "resources/tasks/csqa.yaml")
    pool, questions = (load_questions(task, path, 0.0)[0] for path in (options.train, options.eval))
    examples = draw_examples(pool, k, 1, "csqa")
    items = questions[: options.items]
    return {
        "prompts": [few_shot_prompt(examples, item.question, "Response:") for item in items],
        "answers": [item.answers for item in items],
        "max_new_tokens": LIMIT,
        # Without examples the model often begins with a newline, and a stop at the first one would leave no text.
        "until": ["\n"] if k else [],
    }


def same_text(ours: str, peer: str) -> bool:
    """Equal up to the first newline after visible text, where the workflow's answers end."""
    return ours.strip().split("\n")[0].strip() == peer.strip().split("\n")[0].strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="CommonsenseQA training rows")
    parser.add_argument("--eval", type=Path, required=True, help="CommonsenseQA evaluation rows")
    parser.add_argument("--model", type=Path, default=Path("results/demo/models/smollm2-135m/pretrained"))
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    python = environment(ENVIRONMENT, HARNESS)
    here = Path(__file__).resolve().parent
    summary: dict[str, Any] = {}
    for k in (0, 3):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "prompts.json"
            write_json(work, prompts(options, k))
            runs: dict[str, list[dict[str, Any]]] = {"ours": [], "harness": [], "ours_with_likelihoods": []}
            for repeat in range(options.repeats):
                for side, interpreter, script, extra in (
                    ("ours", sys.executable, "evaluate_worker.py", []),
                    ("harness", python, "evaluate_harness.py", []),
                    ("ours_with_likelihoods", sys.executable, "evaluate_worker.py", ["--likelihoods"]),
                ):
                    print(f"k={k}, run {repeat + 1}: {side}", flush=True)
                    output = Path(folder) / f"{side}.json"
                    arguments = ["--work", str(work), "--model", str(options.model), "--output", str(output), *extra]
                    timing = run_worker(interpreter, here / script, options.threads, *arguments)
                    runs[side].append({**timing, **json.loads(output.read_text(encoding="utf-8"))})
            ours, harness = runs["ours"][0], runs["harness"][0]
            if ours["token_ids"] != harness["token_ids"]:
                sys.exit("error: the two sides tokenise the prompts differently, so their times cannot be compared")
            medians = {side: statistics.median(run["seconds"] for run in each) for side, each in runs.items()}
            summary[f"speed_k{k}"] = round(medians["harness"] / medians["ours"], 2)
            summary[f"speed_with_likelihoods_k{k}"] = round(medians["harness"] / medians["ours_with_likelihoods"], 2)
            pairs = zip(ours["texts"], harness["texts"], strict=True)
            summary[f"identical_k{k}"] = sum(same_text(*pair) for pair in pairs)
    print(json.dumps({**summary, "items": options.items}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
