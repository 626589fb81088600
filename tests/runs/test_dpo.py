"""Direct preference optimisation against its loss written out, one sequence at a time."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax, logsigmoid
from transformers import AutoModelForCausalLM, PreTrainedModel

from common.data.prompts import PromptFormat
from common.files.parquet import read_parquet
from common.models.loading import load_tokenizer
from common.training.sequences import IGNORED, TokenSequence
from support.training_runs import MARKERS, PROMPT, finish, losses, train
from train_dpo import Pair, as_row, collate, encode_pairs

BETA, BATCH, STEPS, RATE = 0.5, 40, 3, 1e-2
ONE_BATCH = {"epochs": STEPS, "global_batch_size": BATCH, "per_device_batch_size": 4, "schedule": "constant",
             "warmup_ratio": 0.0, "learning_rate": RATE}  # fmt: skip


def pairs_of(model: Path, splits: Path) -> tuple[list[Pair], list[str]]:
    prompt = PromptFormat.from_settings({**PROMPT, "markers": {"response": MARKERS["response"]}})
    return encode_pairs(load_tokenizer(model), read_parquet(splits / "coh.parquet"), prompt, 200)


def log_likelihood(model: PreTrainedModel, sequence: TokenSequence) -> torch.Tensor:
    logits = model(torch.tensor([sequence.input_ids])).logits[0]
    terms = [log_softmax(logits[i - 1], dim=0)[label] for i, label in enumerate(sequence.labels) if label != IGNORED]
    return torch.stack(terms).sum()


def reference_run(folder: Path, pairs: list[Pair]) -> tuple[list[float], PreTrainedModel]:
    """Losses of each step, and the trained model."""
    policy, frozen = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval() for _ in range(2))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=RATE, weight_decay=0.0)
    found = []
    for _ in range(STEPS):
        total = torch.tensor((BATCH - len(pairs)) * math.log(2))
        for better, worse in pairs:
            with torch.no_grad():
                before = log_likelihood(frozen, better) - log_likelihood(frozen, worse)
            margin = log_likelihood(policy, better) - log_likelihood(policy, worse) - before
            total = total - logsigmoid(BETA * margin)
        (total / BATCH).backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1)
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(total.detach()) / BATCH)
    return found, policy


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_three_steps_are_those_of_the_loss_written_out(
    family: str, model_folders: dict[str, Path], splits: Path, tmp_path: Path
) -> None:
    folder = model_folders[family]
    pairs, left_out = pairs_of(folder, splits)
    assert not left_out
    assert 8 < len(pairs) < BATCH  # the batch is completed by fillers
    record = finish(train("dpo", folder, splits, tmp_path, training=ONE_BATCH), tmp_path)
    expected, policy = reference_run(folder, pairs)
    assert expected[0] == pytest.approx(math.log(2), abs=1e-6)
    assert expected[-1] < expected[0]
    assert losses(tmp_path) == pytest.approx(expected, abs=1e-4)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    # Not weight by weight: where a gradient is all but zero, AdamW's step is the sign of its rounding.
    with torch.no_grad():
        for sequence in (sequence for pair in pairs for sequence in pair):
            assert float(log_likelihood(trained, sequence)) == pytest.approx(
                float(log_likelihood(policy, sequence)), abs=0.02
            )
    assert record["train"]["pairs"] == len(pairs)
    assert record["train"]["left_out_ties"] + len(pairs) == len(read_parquet(splits / "coh.parquet"))


def test_zero3_on_two_ranks_agrees_with_torch(wide_folders: dict[str, Path], splits: Path, tmp_path: Path) -> None:
    """On a model that is parted; the two ranks recompute activations."""
    runs = {}
    for engine, processes in (("torch", 1), ("deepspeed", 2)):
        out = tmp_path / engine
        options = {"training": {**ONE_BATCH, "epochs": 2}, "recompute": processes == 2}
        finish(train("dpo", wide_folders["llama"], splits, out, engine, processes, **options), out)
        runs[engine] = losses(out)
    assert runs["deepspeed"] == pytest.approx(runs["torch"], abs=1e-4)


def test_better_sequences_come_first_and_only_responses_count(model_folders: dict[str, Path], splits: Path) -> None:
    pairs, _ = pairs_of(model_folders["opt"], splits)
    batch = collate([as_row(*pair) for pair in pairs[:3]], pad=1)
    ordered = [pair[0] for pair in pairs[:3]] + [pair[1] for pair in pairs[:3]]
    for i, sequence in enumerate(ordered):
        length = len(sequence.input_ids)
        assert batch["input_ids"][i, :length].tolist() == sequence.input_ids
        assert batch["attention_mask"][i].tolist() == [int(j < length) for j in range(batch["input_ids"].shape[1])]
        counted = [label for label in sequence.labels if label != IGNORED]
        assert batch["input_ids"][i][batch["completion_mask"][i].bool()].tolist() == counted
