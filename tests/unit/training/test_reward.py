"""Reward models: where the score is read, both losses by hand, and training against plain torch."""

import copy
import math
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from common.base.errors import UserError
from common.data.prompts import PromptFormat
from common.models.loading import load_model, load_tokenizer, save_model
from common.models.reward_model import (
    REWARD_MODEL,
    check_same_tokenizer,
    last_token,
    load_reward_model,
    pad_right,
    sequence_rewards,
    token_scores,
)
from common.models.saved_check import LANGUAGE_MODEL, PROBE_TOKENS, check_saved
from common.training.reward import Pairs, encode_pairs, initial_reward_model, pair_losses, reward_objective
from common.training.trl_training import Trained, run_training
from support.frames import job_frame

PROMPT = PromptFormat("{instruction}\n", "{instruction}\nInput: {input}\n", {"response": "Response:"})
TRAINING = {
    "epochs": 1, "learning_rate": 1e-3, "global_batch_size": 8, "per_device_batch_size": 2, "schedule": "constant",
    "warmup_ratio": 0.0, "max_grad_norm": 1, "max_length": 60, "weight_decay": 0.0, "betas": [0.9, 0.999],
    "log_steps": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def usual_termination() -> Iterator[None]:
    """Training catches SIGTERM; the tests after it must not."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def model(model_folder: Path, tmp_path: Path) -> PreTrainedModel:
    """A reward model of either family with a new head; OPT's embeddings are narrower than its hidden states."""
    initial_reward_model(model_folder, tmp_path / "initial", seed=3)
    return load_reward_model(tmp_path / "initial", torch.float32).eval()


def random_sequences(count: int, eos: int, seed: int = 0) -> list[list[int]]:
    """Token ids with an EOS inside and, in every other one, at the end."""
    rng = random.Random(seed)
    sequences = [[eos, *rng.choices(range(5, 900), k=rng.randint(1, 20))] for _ in range(count)]
    return [[*ids, eos] if i % 2 else ids for i, ids in enumerate(sequences)]


def plain_scores(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Backbone and head applied one after the other to one sequence without padding."""
    hidden = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return (hidden @ model.score.weight.T)[:, 0]


def test_the_reward_is_that_of_the_last_real_token_however_it_is_padded_and_batched(model, model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    sequences = random_sequences(11, tokenizer.eos_token_id)
    with torch.no_grad():
        expected = [float(plain_scores(model, ids)[-1]) for ids in sequences]
    assert np.std(expected) > 0.01
    pad = tokenizer.pad_token_id
    for batch in (1, 3, 11):
        assert sequence_rewards(model, sequences, pad, batch, "cpu") == pytest.approx(expected, abs=2e-5)
    for side in ("left", "right"):
        for further in (0, 1, 17):
            width = max(map(len, sequences)) + further
            rows = [([pad] * (width - len(ids)), ids) for ids in sequences]
            ids = torch.tensor([[*fill, *own] if side == "left" else [*own, *fill] for fill, own in rows])
            mask = torch.tensor([[0] * len(f) + [1] * len(o) if side == "left" else [1] * len(o) + [0] * len(f)
                                 for f, o in rows])  # fmt: skip
            with torch.no_grad():
                scores = token_scores(model, input_ids=ids, attention_mask=mask)
            last = last_token(mask)
            assert last.tolist() == [width - 1 if side == "left" else len(own) - 1 for _, own in rows]
            assert scores[torch.arange(11), last].tolist() == pytest.approx(expected, abs=2e-5)


def test_every_token_has_the_score_of_the_sequence_that_ends_there(model, model_folder: Path):
    """The critic reads the same network at every token."""
    tokenizer = load_tokenizer(model_folder)
    ids = random_sequences(2, tokenizer.eos_token_id)[1]
    prefixes = [ids[: n + 1] for n in range(len(ids))]
    with torch.no_grad():
        found = token_scores(model, input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)).long())
    expected = sequence_rewards(model, prefixes, tokenizer.pad_token_id, 4, "cpu")
    assert found[0].tolist() == pytest.approx(expected, abs=2e-5)


def test_transformers_pools_the_same_score_when_padded_on_the_right(model, model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    sequences = random_sequences(9, tokenizer.eos_token_id, seed=1)
    inputs = pad_right(sequences, tokenizer.pad_token_id)
    with torch.no_grad():
        pooled = model(**inputs).logits[:, 0].tolist()
    assert sequence_rewards(model, sequences, tokenizer.pad_token_id, 9, "cpu") == pytest.approx(pooled, abs=1e-6)


def test_a_new_head_is_drawn_by_seed_and_the_rest_is_the_language_model(model_folder: Path, tmp_path: Path):
    # The second call for "a" is that of a resumed run, which keeps what it finds.
    for name, seed in (("a", 3), ("b", 3), ("c", 4), ("a", 5)):
        torch.rand(7)
        initial_reward_model(model_folder, tmp_path / name, seed)
    first, same, other = (load_reward_model(tmp_path / name, torch.float32) for name in "abc")
    assert torch.equal(first.score.weight, same.score.weight)
    assert not torch.equal(first.score.weight, other.score.weight)
    assert first.score.weight.shape[0] == 1
    language = load_model(model_folder, torch.float32).base_model.state_dict()
    for key, value in first.base_model.state_dict().items():
        assert torch.equal(value, language[key])


def slow_pair(scores: list[list[float]], pairs: list[list[int]], loss: str) -> tuple[float, float]:
    """Loss and margin of one pair, from its sequences' own scores without padding."""

    def penalty(difference: float) -> float:
        return math.log(1 + math.exp(-difference))

    chosen, rejected = scores
    margin = chosen[-1] - rejected[-1]
    longer = max(map(len, pairs))
    here = [t for t in range(longer) if [ids[t : t + 1] for ids in pairs].count(pairs[0][t : t + 1]) == 1]
    if loss == "last_token" or not here:
        return penalty(margin), margin
    terms = [
        penalty(chosen[min(t, len(chosen) - 1)] - rejected[min(t, len(rejected) - 1)]) for t in range(here[0], longer)
    ]
    return sum(terms) / len(terms), margin


@st.composite
def preference_pairs(draw: st.DrawFn) -> list[list[list[int]]]:
    """Pairs with a common beginning; few words, so that they also agree further on, or are one another's beginning."""
    word = st.integers(3, 5)
    return [
        [common + draw(st.lists(word, max_size=5)) + [2], common + draw(st.lists(word, max_size=5)) + [2]]
        for common in draw(st.lists(st.lists(word, min_size=1, max_size=4), min_size=1, max_size=4))
    ]


@pytest.mark.parametrize("loss", ["last_token", "divergent_tokens"])
@given(pairs=preference_pairs(), seed=st.integers(0, 1000))
def test_pair_losses_equal_a_slow_loop(loss: str, pairs: list[list[list[int]]], seed: int):
    inputs = pad_right([pair[side] for side in (0, 1) for pair in pairs], pad=0)
    scores = torch.randn(inputs["input_ids"].shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    losses, margins = pair_losses(scores, inputs["input_ids"], inputs["attention_mask"], loss)
    for i, pair in enumerate(pairs):
        own = [scores[i + side * len(pairs), : len(pair[side])].tolist() for side in (0, 1)]
        expected = slow_pair(own, pair, loss)
        assert float(losses[i]) == pytest.approx(expected[0], rel=1e-6)
        assert float(margins[i]) == pytest.approx(expected[1], abs=1e-12)


def test_equation_2_by_hand():
    inputs = pad_right([[2, 7, 2], [2, 8]], pad=1)
    scores = torch.tensor([[9.0, 9.0, 1.5], [9.0, 0.5, 9.0]])
    losses, margins = pair_losses(scores, **inputs, loss="last_token")
    assert margins.tolist() == [1.0]
    assert losses.tolist() == pytest.approx([-math.log(1 / (1 + math.exp(-1.0)))])


def test_divergent_tokens_by_hand():
    """Parting at the second token; the shorter one's last score stands for what it has no token at."""
    inputs = pad_right([[2, 7, 6, 2], [2, 8, 2]], pad=1)
    scores = torch.tensor([[5.0, 1.0, 2.0, 3.0], [5.0, 0.0, -1.0, 99.0]])
    losses, margins = pair_losses(scores, **inputs, loss="divergent_tokens")
    expected = [math.log(1 + math.exp(-d)) for d in (1.0 - 0.0, 2.0 - -1.0, 3.0 - -1.0)]
    assert losses.tolist() == pytest.approx([sum(expected) / 3])
    assert margins.tolist() == [4.0]


def rows(count: int, seed: int) -> list[dict]:
    """Pairs, two a prompt; the chosen response says yes, the rejected one no, in sentences of any length."""
    rng = random.Random(seed)
    words = ["apple", "river", "stone", "music", "quiet", "garden", "winter", "seven", "doctor", "yellow"]

    def sentence(word: str) -> str:
        return " ".join([*rng.choices(words, k=rng.randint(0, 6)), word])

    return [
        {"id": f"{seed}-{i // 2}", "instruction": f"Say something about the {words[i // 2 % 10]}.", "input": "",
         "chosen": sentence("yes"), "rejected": sentence("no")}
        for i in range(count)
    ]  # fmt: skip


def train(
    folder: Path, tmp_path: Path, train_rows: list[dict], heldout: list[dict], loss: str = "last_token", **options
) -> tuple[Trained, Pairs, Pairs]:
    """Train a reward model in this process, on plain torch."""
    tokenizer = load_tokenizer(folder)
    settings = {"seed": 5, "loss": loss, "training": {**TRAINING, **options}}
    pairs = [
        encode_pairs(tokenizer, part, PROMPT, settings["training"]["max_length"]) for part in (train_rows, heldout)
    ]
    (tmp_path / "state").mkdir()
    initial_reward_model(folder, tmp_path / "initial", 5)
    frame = job_frame(settings, folder, tmp_path)
    objective = reward_objective(frame, tmp_path / "initial", *pairs)
    return run_training(frame, objective), *pairs


def encoded(tokenizer, row: dict, side: str) -> list[int]:
    """A prompt, its marker, a response and EOS, tokenised as one text."""
    text = f"{row['instruction']}\nResponse: {row[side]}"
    return [*tokenizer(text, split_special_tokens=True)["input_ids"], tokenizer.eos_token_id]


@pytest.mark.slow
def test_it_overfits_a_few_pairs_and_reports_what_a_slow_recomputation_finds(model_folder: Path, tmp_path: Path):
    tokenizer, train_rows, heldout = load_tokenizer(model_folder), rows(10, 1), rows(14, 2)
    trained, *_ = train(model_folder, tmp_path, train_rows, heldout, epochs=12, learning_rate=3e-3)
    trained.save(tmp_path / "saved")
    model = load_reward_model(tmp_path / "saved", torch.float32).eval()

    def margins(part: list[dict]) -> list[float]:
        with torch.no_grad():
            ends = [[float(plain_scores(model, encoded(tokenizer, row, side))[-1]) for side in ("chosen", "rejected")]
                    for row in part]  # fmt: skip
        return [chosen - rejected for chosen, rejected in ends]

    assert min(margins(train_rows)) > 1
    curve = pd.read_csv(tmp_path / "metrics.csv")
    assert curve["accuracy"].iloc[-1] == 1
    assert curve["loss"].iloc[-1] < 0.1 < curve["loss"].iloc[0]
    found, unseen = trained.facts["heldout_pairs"], margins(heldout)
    right = [margin > 0 for margin in unseen]
    assert found["accuracy"] == pytest.approx(sum(right) / 14)
    assert found["mean_margin"] == pytest.approx(sum(unseen) / 14, abs=1e-4)
    assert found["interval95"] == pytest.approx(slow_cluster_interval(right, [row["id"] for row in heldout], 5))
    assert (found["pairs"], found["prompts"]) == (14, 7)
    losses = [math.log(1 + math.exp(-margin)) for margin in unseen]
    assert trained.facts["heldout_loss"]["after"] == pytest.approx(sum(losses) / 14, abs=1e-4)


def slow_cluster_interval(values: list[bool], clusters: list[str], seed: int) -> list[float]:
    """Percentiles of the mean over prompts drawn with replacement, each with all its pairs."""
    names = sorted(set(clusters))
    members = {name: [v for v, c in zip(values, clusters, strict=True) if c == name] for name in names}
    draws = np.random.default_rng(seed).integers(0, len(names), size=(10_000, len(names)))
    means = []
    for draw in draws.tolist():
        chosen = [value for i in draw for value in members[names[i]]]
        means.append(sum(chosen) / len(chosen))
    return [float(np.quantile(means, q)) for q in (0.025, 0.975)]


@pytest.mark.parametrize("loss", ["last_token", "divergent_tokens"])
def test_a_step_completed_with_fillers_equals_plain_torch_on_the_real_pairs(
    model_folder: Path, tmp_path: Path, loss: str
):
    """Five pairs in a global batch of eight, two at a time: mean loss, clipped gradient and one step of AdamW."""
    tokenizer, five = load_tokenizer(model_folder), rows(5, 3)
    trained, pairs, _ = train(model_folder, tmp_path, five, rows(2, 4), loss)
    assert [row["chosen_ids"] for row in pairs.rows] == [encoded(tokenizer, row, "chosen") for row in five]
    model = load_reward_model(tmp_path / "initial", torch.float32).train()
    start = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    total = torch.zeros(())
    for row in five:
        chosen, rejected = (encoded(tokenizer, row, side) for side in ("chosen", "rejected"))
        scores = [plain_scores(model, chosen), plain_scores(model, rejected)]
        spans = [(-1, -1)]
        if loss == "divergent_tokens":
            longer = max(len(chosen), len(rejected))
            first = next(t for t in range(longer) if chosen[t : t + 1] != rejected[t : t + 1])
            spans = [(min(t, len(chosen) - 1), min(t, len(rejected) - 1)) for t in range(first, longer)]
        terms = [-torch.nn.functional.logsigmoid(scores[0][a] - scores[1][b]) for a, b in spans]
        total = total + sum(terms) / len(terms) / 5
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    curve = pd.read_csv(tmp_path / "metrics.csv")
    assert curve["step"].tolist() == [1]
    assert curve["loss"].tolist() == pytest.approx([total.item()], abs=1e-5)
    assert curve["grad_norm"].tolist() == pytest.approx([norm.item()], rel=1e-4)
    assert curve["num_tokens"].tolist() == [
        sum(len(encoded(tokenizer, r, s)) for r in five for s in ("chosen", "rejected"))
    ]
    found, compared = dict(trained.model.named_parameters()), 0
    for name, parameter in model.named_parameters():
        # AdamW's first step is the gradient's sign: where that is rounding noise, so is the step.
        clear = parameter.grad.abs() > 1e-5
        torch.testing.assert_close(found[name][clear], parameter[clear], rtol=0, atol=1e-5)
        compared += int(clear.sum())
        assert torch.equal(parameter[~clear & (parameter.grad == 0)], start[name][~clear & (parameter.grad == 0)])
    assert compared > 5000


def test_pairs_that_cannot_be_used_are_counted(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    long = " ".join(["stone"] * 80)
    parts = [
        {
            "id": "same when cut",
            "instruction": "Say it.",
            "input": "",
            "chosen": long + " yes",
            "rejected": long + " no",
        },
        {"id": "no room", "instruction": long, "input": "", "chosen": "yes", "rejected": "no"},
        {"id": "cut", "instruction": "Say it.", "input": "", "chosen": "yes", "rejected": long},
        {"id": "markup", "instruction": "Say it.", "input": "", "chosen": "</s>", "rejected": "no"},
    ]
    pairs = encode_pairs(tokenizer, parts, PROMPT, 40)
    assert [row["id"] for row in pairs.rows] == ["cut", "markup"]
    assert (pairs.left_out, pairs.identical, pairs.cut) == (["no room"], ["same when cut"], 1)
    assert [len(pairs.rows[0]["rejected_ids"]), pairs.rows[0]["rejected_ids"][-1]] == [40, tokenizer.eos_token_id]
    assert pairs.rows[1]["chosen_ids"].count(tokenizer.eos_token_id) == 1 + (tokenizer.bos_token_id == 2)
    total = sum(len(row[side]) for row in pairs.rows for side in ("chosen_ids", "rejected_ids"))
    assert pairs.counts() == {
        "pairs": 2, "prompts": 2, "left_out_prompt_too_long": 1, "left_out_identical_when_cut": 1, "cut_responses": 1,
        "tokens": {"total": total},
    }  # fmt: skip


def test_actor_and_reward_model_of_two_tokenizers_are_refused(model_folders: dict[str, Path]):
    llama, opt = (load_tokenizer(model_folders[family]) for family in ("llama", "opt"))
    check_same_tokenizer(opt, load_tokenizer(model_folders["opt"]))
    with pytest.raises(UserError, match="different tokenizers"):
        check_same_tokenizer(opt, llama)
    other = load_tokenizer(model_folders["opt"])
    other.pad_token = "<unk>"
    with pytest.raises(UserError, match="different tokenizers"):
        check_same_tokenizer(opt, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["language", "reward"])
def test_a_saved_model_whose_weights_differ_is_refused(model_folders: dict[str, Path], tmp_path: Path, kind: str):
    """That good ones are accepted, also by a fresh process, every training run shows."""
    folder, ids = model_folders["opt"], list(range(5, 5 + PROBE_TOKENS))
    initial_reward_model(folder, tmp_path / "reward", seed=1)
    good = folder if kind == "language" else tmp_path / "reward"
    load, probe = (load_model, LANGUAGE_MODEL) if kind == "language" else (load_reward_model, REWARD_MODEL)
    model = load(good, torch.float32)
    expected = probe.trained(model, ids, "cpu")
    assert probe.saved(good, ids, torch.float32) == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        model.get_parameter("model.decoder.layers.1.fc1.weight")[:, 3] += 0.5
    save_model(model, load_tokenizer(folder), tmp_path / "bad")
    with pytest.raises(UserError, match="the saved model answers"):
        check_saved(tmp_path / "bad", probe, ids, expected, torch.float32)
