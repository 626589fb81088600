"""Responses, rewards and divergences of `sample_responses` against plain loops of transformers alone."""

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import sample_responses
from common.base.paths import ROOT
from common.files.parquet import read_parquet, write_parquet
from common.jobs.console import Console
from common.training.reward import initial_reward_model

PUBLISHED = ROOT / "resources/paper/table4.yaml"
SETTINGS = {
    "model": "tiny", "method": "coh", "marker": "better response:", "max_new_tokens": 12, "divergence": True, "seed": 3,
    "device": "cpu",
    "prompt": {"without_input": "{instruction}\n", "with_input": "{instruction}\nInput: {input}\n",
               "markers": {"response": "Response:"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base model, a policy a little away from it, a reward model of the same tokenizer, and held-out prompts."""
    folder = tmp_path_factory.mktemp("sampled")
    base = shutil.copytree(model_folders["llama"], folder / "base")
    policy = AutoModelForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(0)
    for parameter in policy.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape, generator=generator)
    tokenizer = AutoTokenizer.from_pretrained(base)
    policy.save_pretrained(folder / "policy")
    initial_reward_model(base, folder / "reward", seed=1)
    for name in ("policy", "reward"):
        tokenizer.save_pretrained(folder / name)
        (folder / name / "run.json").write_text("{}")
    heldout = [{"id": f"h{i}", "instruction": f"Name {i} rivers.", "input": "in Korea" * (i % 2)} for i in range(4)]
    write_parquet(folder / "heldout.parquet", heldout, ("id", "instruction", "input"))
    return {path.stem: path for path in folder.iterdir()}


def sampled(folders: dict[str, Path], out: Path, **changes: Any) -> list[dict[str, Any]]:
    arguments = argparse.Namespace(
        settings={**SETTINGS, **changes}, model=folders["policy"], base=folders["base"], reward=folders["reward"],
        heldout=folders["heldout"], published=PUBLISHED, scratch=out / "scratch", output=out / "rows.parquet",
        record=out / "record.json",
    )  # fmt: skip
    sample_responses.work(arguments, Console("test"))
    return read_parquet(out / "rows.parquet")


def drawn_tokens(scratch: Path) -> dict[str, list[int]]:
    [cache] = scratch.glob("*.jsonl")
    entries = [json.loads(line) for line in cache.read_text(encoding="utf-8").splitlines()]
    return {entry["key"].removeprefix("drawn/"): entry["item"]["tokens"] for entry in entries
            if entry["key"].startswith("drawn/")}  # fmt: skip


@torch.inference_mode()
def test_responses_rewards_and_divergences_are_those_of_plain_loops(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = sampled(folders, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folders["base"])
    policy, base = (AutoModelForCausalLM.from_pretrained(folders[name]).eval() for name in ("policy", "base"))
    reward = AutoModelForSequenceClassification.from_pretrained(folders["reward"], num_labels=1).eval()
    drawn = drawn_tokens(tmp_path / "scratch")
    assert {row["id"] for row in rows if row["source"] == "heldout"} == {*drawn}
    for row in rows:
        assert row["prompt"].endswith("\nbetter response:")
        prompt = tokenizer(row["prompt"])["input_ids"]
        greedy = policy.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
        assert row["tokens"] == len(greedy)
        assert row["response"] == tokenizer.decode(greedy, skip_special_tokens=True).strip()
        plain = row["prompt"].removesuffix("better response:") + "Response:"
        scored = torch.tensor([[*tokenizer(plain)["input_ids"], *greedy]])
        assert row["reward"] == pytest.approx(reward(scored).logits.item(), abs=1e-5)
        if row["source"] != "heldout":
            assert (row["drawn_tokens"], row["kl_k1"], row["kl_k3"]) == (None, None, None)
            continue
        k1 = k3 = 0.0
        for t, token in enumerate(drawn[row["id"]]):
            seen = torch.tensor([[*prompt, *drawn[row["id"]][:t]]])
            p, q = (model(seen).logits[0, -1].double().log_softmax(0)[token].item() for model in (policy, base))
            k1 += p - q
            k3 += math.exp(q - p) - 1 - (q - p)
        assert row["drawn_tokens"] == len(drawn[row["id"]])
        assert (row["kl_k1"], row["kl_k3"]) == pytest.approx((k1, k3), abs=1e-4)
        assert k3 > 1e-3


def test_a_job_killed_between_greedy_and_drawn_responses_goes_on(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = sampled(folders, tmp_path)
    [cache] = (tmp_path / "scratch").glob("*.jsonl")
    lines = cache.read_text(encoding="utf-8").splitlines(keepends=True)
    greedy = [line for line in lines if json.loads(line)["key"].startswith("greedy/")]
    assert 0 < len(greedy) < len(lines)
    cache.write_text("".join(greedy), encoding="utf-8")
    assert sampled(folders, tmp_path) == rows


def test_what_table_5_does_not_ask_for_is_not_measured(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = sampled(folders, tmp_path, divergence=False)
    assert {(row["drawn_tokens"], row["kl_k1"], row["kl_k3"]) for row in rows} == {(None, None, None)}
