"""Responses of a checkpoint to the paper's prompts and to the held-out ones, each with its reward.

They are greedy. For Table 5 one more response to each held-out prompt is drawn at temperature 1, and both estimates of
the divergence from the base model are taken on it: an estimate needs what the policy itself draws.
"""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
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
from common.models.divergence import kl_k1, kl_k3
from common.models.generation import Outcome, Request
from common.models.loading import load_model, load_tokenizer, weights_hash
from common.models.packed_weights import pack_weights
from common.models.plain_generation import token_logprobs
from common.models.reward_model import check_same_tokenizer, load_reward_model, sequence_rewards
from common.models.ways import attention_of, build_generator, way_of

BATCH_TOKENS = 8192
# Kinds of responses.
GREEDY, DRAWN = "greedy", "drawn"
NOT_MEASURED = dict.fromkeys(("drawn_tokens", "kl_k1", "kl_k3"))


def sample_prompts(published: Path, heldout: Path, prompt: PromptFormat, marker: str) -> list[dict[str, Any]]:
    """Rows to answer: the paper's prompts, then the held-out ones; `plain` ends before the marker."""
    rows = [
        {"id": row["id"], "source": PAPER, "instruction": row["prompt"], "input": row["input"]}
        for row in read_checked_yaml(published)["examples"]
    ]
    rows += [
        {"id": row["id"], "source": HELDOUT, "instruction": row["instruction"], "input": row["input"]}
        for row in read_parquet(heldout)
    ]
    plain = [prompt.prompt(row["instruction"], row["input"]) for row in rows]
    return [{**row, "plain": text, "prompt": text + marker} for row, text in zip(rows, plain, strict=True)]


def on_device(model: Any, gpu: bool) -> Any:
    return cast(torch.nn.Module, model).cuda() if gpu else model


def generate(
    arguments: argparse.Namespace, kinds: Mapping[str, tuple[Decoding, Mapping[str, list[int]]]],
    cache: ItemCache, way: str, dtype: torch.dtype, gpu: bool, console: Console,
) -> None:  # fmt: skip
    """Put the tokens of every response into the cache.

    Args:
        arguments: of the script.
        kinds: decoding and prompts, token ids by id; by what the key of an item begins with.
        cache: of finished responses.
        way: how the model is asked.
        dtype: of the model.
        gpu: whether it answers on a GPU.
        console: for the progress.
    """
    limit, requests = arguments.settings["max_new_tokens"], {}
    for kind, (_, prompts) in kinds.items():
        all_of_kind = [Request(f"{kind}/{key}", tokens, []) for key, tokens in prompts.items()]
        requests[kind] = [request for request in all_of_kind if request.key not in cache]
    if not any(requests.values()):
        return
    progress = Progress(console, sum(len(prompts) for _, prompts in kinds.values()), "responses", len(cache))
    model = on_device(load_model(arguments.model, dtype, attention_of(way)), gpu)
    pack_weights(model)
    generator = build_generator(way, model, load_tokenizer(arguments.model), BATCH_TOKENS)
    for kind, (decoding, _) in kinds.items():
        for outcomes in generator.run(requests[kind], limit, decoding) if requests[kind] else ():
            cache.add({key: _item(outcome) for key, outcome in outcomes.items()})
            progress.update(len(cache))


def _item(outcome: Outcome) -> dict[str, Any]:
    return {"tokens": outcome.tokens, "finish": outcome.finish}


@torch.inference_mode()
def likelihoods(
    model: Path, sequences: Sequence[tuple[list[int], list[int]]], dtype: torch.dtype, gpu: bool
) -> list[torch.Tensor]:
    """Log-likelihoods a model gives to the tokens of each response after its prompt."""
    loaded = on_device(load_model(model, dtype), gpu).eval()
    return [token_logprobs(loaded, prompt, response).double().cpu() for prompt, response in sequences]


def divergences(
    model: Path, base: Path, sequences: Sequence[tuple[list[int], list[int]]], dtype: torch.dtype, gpu: bool
) -> list[dict[str, Any]]:
    """Tokens of each drawn response, and the sums over them of both estimates of KL(model, base)."""
    policy, reference = (likelihoods(path, sequences, dtype, gpu) for path in (model, base))
    return [
        {"drawn_tokens": len(one), "kl_k1": float(kl_k1(one, other).sum()), "kl_k3": float(kl_k3(one, other).sum())}
        for one, other in zip(policy, reference, strict=True)
    ]


def rewards(
    arguments: argparse.Namespace, sequences: Sequence[list[int]], pad: int, dtype: torch.dtype, gpu: bool
) -> list[float]:
    """What the reward model gives each response; its prompts end with the marker it was trained with.

    One at a time: in batches, what stands beside a response moves its last digits, and one text would have two rewards.
    """
    model = on_device(load_reward_model(arguments.reward, dtype), gpu)
    return sequence_rewards(model, sequences, pad=pad, batch=1, device="cuda" if gpu else "cpu")


def work(arguments: argparse.Namespace, console: Console) -> None:
    limit_threads()
    settings = arguments.settings
    provenance = Provenance("sample_responses.py", settings)
    gpu = uses_gpu(settings["device"])
    dtype = default_dtype(gpu)
    tokenizer = load_tokenizer(arguments.model)
    check_same_tokenizer(tokenizer, load_tokenizer(arguments.reward))
    prompt = PromptFormat.from_settings(settings["prompt"])
    rows = sample_prompts(arguments.published, arguments.heldout, prompt, settings["marker"])

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, split_special_tokens=True)["input_ids"])

    prompts = {row["id"]: tokens(row["prompt"]) for row in rows}
    kinds = {GREEDY: (Decoding(stop_at_newline=False), prompts)}
    if settings["divergence"]:
        heldout = {row["id"]: prompts[row["id"]] for row in rows if row["source"] == HELDOUT}
        kinds[DRAWN] = (Decoding(temperature=1.0, seed=settings["seed"], stop_at_newline=False), heldout)
    way = way_of(arguments.model, max(map(len, prompts.values())) + settings["max_new_tokens"])
    key = fingerprint(
        settings=settings,
        inputs=[sha256_of_file(path) for path in (arguments.heldout, arguments.published)],
        weights=weights_hash(arguments.model),
        code=script_digest("sample_responses.py"),
        way=way,
        dtype=str(dtype),
        gpu=gpu,
    )
    with writer_lock(arguments.scratch / "writer.lock", console):
        cache = ItemCache(arguments.scratch / f"{key}.jsonl")
        generate(arguments, kinds, cache=cache, way=way, dtype=dtype, gpu=gpu, console=console)
        items = [cache[f"{GREEDY}/{row['id']}"] for row in rows]
        measured: dict[str, dict[str, Any]] = {}
        if settings["divergence"]:
            drawn = [(tokens_of, cache[f"{DRAWN}/{key}"]["tokens"]) for key, tokens_of in heldout.items()]
            estimates = divergences(arguments.model, arguments.base, drawn, dtype=dtype, gpu=gpu)
            measured = dict(zip(heldout, estimates, strict=True))
        response = prompt.markers["response"]
        scored = [[*tokens(row["plain"] + response), *item["tokens"]] for row, item in zip(rows, items, strict=True)]
        scores = rewards(arguments, scored, tokenizer.pad_token_id, dtype=dtype, gpu=gpu)
        for row, item, reward in zip(rows, items, scores, strict=True):
            text = decode(tokenizer, item["tokens"]).strip()
            row |= {"response": text, "tokens": len(item["tokens"]), "finish": item["finish"], "reward": reward}
            row |= measured.get(row["id"], NOT_MEASURED)
        write_parquet(arguments.output, rows, COLUMNS)
        cache.close()
    found = [row["reward"] for row in rows if row["source"] == HELDOUT]
    mean = sum(found) / len(found)
    inputs = {"heldout": arguments.heldout, "published": arguments.published,
              "model": arguments.model / "run.json", "reward": arguments.reward / "run.json"}  # fmt: skip
    facts = {"responses": len(rows), "heldout": len(found), "mean_heldout_reward": mean}
    record = {**facts, "rows_sha256": sha256_of_file(arguments.output), "provenance": provenance.record(inputs)}
    write_record(arguments.record, record)
    console.say(f"mean reward of {len(found)} held-out prompts: {mean:.4f}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="model directory of the checkpoint")
    parser.add_argument("--base", type=Path, help="model directory of its base model, if the divergence is measured")
    parser.add_argument("--reward", type=Path, required=True, help="model directory of the reward model")
    parser.add_argument("--heldout", type=Path, required=True, help="parquet file of the held-out prompts")
    parser.add_argument("--published", type=Path, required=True, help="YAML file of the paper's table 4")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for finished responses")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write: where the responses come from")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
