"""Responses of one stage of the RL arm to the paper's prompts and to the held-out ones, each with its reward."""

import argparse
import sys
from pathlib import Path
from typing import Any, cast

import torch

from common.data.prompts import PromptFormat
from common.evaluation.answer_cache import ItemCache
from common.evaluation.samples import COLUMNS, HELDOUT, PAPER
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file, write_record
from common.files.yaml_files import read_checked_yaml
from common.jobs.console import Console, Progress, argument_parser, run_entry_point
from common.jobs.digest import script_digest
from common.jobs.provenance import Provenance
from common.jobs.scratch import fingerprint, writer_lock
from common.models.decoding import Decoding, decode
from common.models.devices import default_dtype, limit_threads, uses_gpu
from common.models.generation import Outcome, Request
from common.models.loading import load_model, load_tokenizer, weights_hash
from common.models.packed_weights import pack_weights
from common.models.reward_model import check_same_tokenizer, load_reward_model, sequence_rewards
from common.models.ways import attention_of, build_generator, way_of

BATCH_TOKENS = 8192
REWARD_BATCH = 8


def sample_prompts(published: Path, heldout: Path, prompt: PromptFormat) -> list[dict[str, Any]]:
    """Rows to answer: the paper's prompts, then the held-out ones."""
    rows = [
        {"id": row["id"], "source": PAPER, "instruction": row["prompt"], "input": row["input"]}
        for row in read_checked_yaml(published)["examples"]
    ]
    rows += [
        {"id": row["id"], "source": HELDOUT, "instruction": row["instruction"], "input": row["input"]}
        for row in read_parquet(heldout)
    ]
    marker = prompt.markers["response"]
    return [{**row, "prompt": prompt.prompt(row["instruction"], row["input"]) + marker} for row in rows]


def on_device(model: Any, gpu: bool) -> Any:
    return cast(torch.nn.Module, model).cuda() if gpu else model


def generate(
    arguments: argparse.Namespace, requests: list[Request], cache: ItemCache, dtype: torch.dtype, gpu: bool,
    progress: Progress,
) -> None:  # fmt: skip
    """Put the tokens of every response into the cache."""
    missing = [request for request in requests if request.key not in cache]
    if not missing:
        return
    limit = arguments.settings["max_new_tokens"]
    way = way_of(arguments.model, max(request.longest(limit) for request in requests))
    model = on_device(load_model(arguments.model, dtype, attention_of(way)), gpu)
    pack_weights(model)
    generator = build_generator(way, model, load_tokenizer(arguments.model), BATCH_TOKENS)
    for outcomes in generator.run(missing, limit, Decoding(stop_at_newline=False)):
        cache.add({key: _item(outcome) for key, outcome in outcomes.items()})
        progress.update(len(cache))


def _item(outcome: Outcome) -> dict[str, Any]:
    return {"tokens": outcome.tokens, "finish": outcome.finish}


def work(arguments: argparse.Namespace, console: Console) -> None:
    limit_threads()
    settings = arguments.settings
    provenance = Provenance("sample_responses.py", settings)
    gpu = uses_gpu(settings["device"])
    dtype = default_dtype(gpu)
    tokenizer = load_tokenizer(arguments.model)
    check_same_tokenizer(tokenizer, load_tokenizer(arguments.reward))
    rows = sample_prompts(arguments.published, arguments.heldout, PromptFormat.from_settings(settings["prompt"]))
    prompts = {row["id"]: tokenizer(row["prompt"], split_special_tokens=True)["input_ids"] for row in rows}
    requests = [Request(key, tokens, []) for key, tokens in prompts.items()]
    key = fingerprint(
        settings=settings,
        inputs=[sha256_of_file(path) for path in (arguments.heldout, arguments.published)],
        weights=weights_hash(arguments.model),
        code=script_digest("sample_responses.py"),
    )
    with writer_lock(arguments.scratch / "writer.lock", console):
        cache = ItemCache(arguments.scratch / f"{key}.jsonl")
        progress = Progress(console, len(requests), "responses", len(cache))
        generate(arguments, requests, cache, dtype=dtype, gpu=gpu, progress=progress)
        sequences = [[*prompts[row["id"]], *cache[row["id"]]["tokens"]] for row in rows]
        reward_model = on_device(load_reward_model(arguments.reward, dtype), gpu)
        device = "cuda" if gpu else "cpu"
        rewards = sequence_rewards(
            reward_model, sequences, pad=tokenizer.pad_token_id, batch=REWARD_BATCH, device=device
        )
        for row, reward in zip(rows, rewards, strict=True):
            item = cache[row["id"]]
            text = decode(tokenizer, item["tokens"]).strip()
            row |= {"response": text, "tokens": len(item["tokens"]), "finish": item["finish"], "reward": reward}
        write_parquet(arguments.output, rows, COLUMNS)
        cache.close()
    heldout = [row["reward"] for row in rows if row["source"] == "heldout"]
    mean = sum(heldout) / len(heldout)
    inputs = {"heldout": arguments.heldout, "published": arguments.published,
              "model": arguments.model / "run.json", "reward": arguments.reward / "run.json"}  # fmt: skip
    facts = {"responses": len(rows), "heldout": len(heldout), "mean_heldout_reward": mean}
    record = {**facts, "rows_sha256": sha256_of_file(arguments.output), "provenance": provenance.record(inputs)}
    write_record(arguments.record, record)
    console.say(f"mean reward of {len(heldout)} held-out prompts: {mean:.4f}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="model directory of the stage")
    parser.add_argument("--reward", type=Path, required=True, help="model directory of the reward model")
    parser.add_argument("--heldout", type=Path, required=True, help="parquet file of the held-out prompts")
    parser.add_argument("--published", type=Path, required=True, help="YAML file of the paper's table 4")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for finished responses")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write: where the responses come from")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
