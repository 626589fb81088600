"""The shared-prefix generator against unbatched, uncached generation and plain forward passes."""

import random
from pathlib import Path

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from common.base.errors import UserError
from common.data.prompts import few_shot_prompt
from common.models import generation
from common.models.decoding import Choice, Decoding, decode
from common.models.generation import Generator, Outcome, Request, accept, common_prefix
from common.models.loading import load_model, load_tokenizer, save_model
from common.models.shared_prefix import IMPLEMENTATION

ANSWERS = ["Yes", "No", "It's impossible to say", "the second choice of all"]
MARGIN = 1e-3


def make_requests(tokenizer, count: int, shots: int, seed: int = 0) -> list[Request]:
    rng = random.Random(seed)
    words = ["apple", "river", "stone", "music", "quiet", "garden", "winter", "seven", "doctor", "yellow"]
    examples = [(" ".join(rng.choices(words, k=5)) + "\n", rng.choice(ANSWERS)) for _ in range(shots)]
    requests = []
    for i in range(count):
        question = " ".join(rng.choices(words, k=rng.randint(1, 12))) + f" {i}?\n"
        prompt = tokenizer(few_shot_prompt(examples, question, "Response:"))["input_ids"]
        answers = [tokenizer(" " + answer, add_special_tokens=False)["input_ids"] for answer in ANSWERS]
        requests.append(Request(f"item{i}", prompt, answers))
    return requests


def run(folder: Path, requests: list[Request], limit: int = 12, batch_tokens: int = 100_000) -> dict[str, Outcome]:
    tokenizer = load_tokenizer(folder)
    generator = Generator(load_model(folder, torch.float32, IMPLEMENTATION), tokenizer, batch_tokens)
    outcomes: dict[str, Outcome] = {}
    for batch in generator.run(requests, limit):
        outcomes |= batch
    return outcomes


def reference_tokens(model, tokenizer, prompt: list[int], limit: int) -> list[int]:
    """Greedy decoding by a whole forward pass a token."""
    tokens: list[int] = []
    with torch.no_grad():
        while len(tokens) < limit:
            token = int(model(torch.tensor([prompt + tokens])).logits[0, -1].argmax())
            tokens.append(token)
            if token == tokenizer.eos_token_id or "\n" in decode(tokenizer, tokens).lstrip():
                break
    return tokens


def reference_logprob(model, prompt: list[int], answer: list[int]) -> float:
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(prompt) + i - 1, token]) for i, token in enumerate(answer))


@pytest.mark.slow
@pytest.mark.parametrize("shots", [0, 1, 3])
def test_text_and_likelihoods_equal_unbatched_uncached_decoding(model_folder: Path, shots: int):
    tokenizer = load_tokenizer(model_folder)
    requests = make_requests(tokenizer, 17, shots)
    outcomes = run(model_folder, requests)
    model = load_model(model_folder, torch.float32, "eager").eval()
    compared = 0
    for request in requests:
        outcome = outcomes[request.key]
        expected = [reference_logprob(model, request.prompt, answer) for answer in request.answers]
        assert outcome.answer_logprobs == pytest.approx(expected, abs=1e-4)
        if outcome.margin > MARGIN:
            assert outcome.tokens == reference_tokens(model, tokenizer, request.prompt, 12)
            compared += 1
    assert compared >= 12


def test_text_equals_transformers_generate(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    requests = make_requests(tokenizer, 8, 1, seed=5)
    outcomes = run(model_folder, requests)
    model = load_model(model_folder, torch.float32, "sdpa").eval()
    for request in requests:
        outcome = outcomes[request.key]
        ids = torch.tensor([request.prompt])
        mask = torch.ones_like(ids)
        whole = model.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False, use_cache=False)[
            0
        ].tolist()
        length = len(outcome.tokens)
        if outcome.margin > MARGIN:
            assert whole[len(request.prompt) :][:length] == outcome.tokens


@pytest.mark.parametrize("batch_tokens", [1, 120, 400])
def test_results_do_not_depend_on_batch_size_or_order(model_folder: Path, batch_tokens: int):
    requests = make_requests(load_tokenizer(model_folder), 13, 2, seed=1)
    whole = run(model_folder, requests)
    shuffled = requests[:]
    random.Random(9).shuffle(shuffled)
    parts = run(model_folder, shuffled, batch_tokens=batch_tokens)
    assert parts.keys() == whole.keys()
    for key, outcome in whole.items():
        if min(outcome.margin, parts[key].margin) > MARGIN:
            assert parts[key].tokens == outcome.tokens
        assert parts[key].answer_logprobs == pytest.approx(outcome.answer_logprobs, abs=1e-4)


def test_prefill_in_many_chunks_changes_nothing(model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    requests = make_requests(load_tokenizer(model_folder), 9, 1, seed=2)
    whole = run(model_folder, requests)
    monkeypatch.setattr(generation, "PREFILL_TOKENS", 8)
    monkeypatch.setattr(generation, "SCORE_TOKENS", 5)
    parts = run(model_folder, requests)
    for key, outcome in whole.items():
        assert parts[key].answer_logprobs == pytest.approx(outcome.answer_logprobs, abs=1e-4)


def test_a_subset_is_answered_as_in_the_whole(model_folder: Path):
    requests = make_requests(load_tokenizer(model_folder), 10, 1, seed=3)
    whole, part = run(model_folder, requests), run(model_folder, requests[4:7])
    for key, outcome in part.items():
        if outcome.margin > MARGIN:
            assert outcome.tokens == whole[key].tokens


def test_prompts_that_share_nothing_still_work(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    answers = [[5], [6, 7]]
    requests = [Request("a", [10, 11, 12], answers), Request("b", [20, 21], answers)]
    outcomes = run(model_folder, requests)
    model = load_model(model_folder, torch.float32, "eager").eval()
    for request in requests:
        expected = [reference_logprob(model, request.prompt, answer) for answer in answers]
        assert outcomes[request.key].answer_logprobs == pytest.approx(expected, abs=1e-4)
        if outcomes[request.key].margin > MARGIN:
            assert outcomes[request.key].tokens == reference_tokens(model, tokenizer, request.prompt, 12)


def test_common_prefix_leaves_every_prompt_a_token():
    assert common_prefix([[1, 2, 3], [1, 2, 4]]) == 2
    assert common_prefix([[1, 2, 3], [1, 2]]) == 1
    assert common_prefix([[1, 2, 3]]) == 2
    assert common_prefix([[1], [2]]) == 0


def test_a_prompt_beyond_the_context_is_an_error(model_folder: Path):
    with pytest.raises(UserError, match="exceed the model's 1024 positions"):
        run(model_folder, [Request("long", [5] * 1020, [[6]])])


def test_attention_of_another_kind_is_refused(tmp_path: Path, model_folders: dict[str, Path]):
    tokenizer = load_tokenizer(model_folders["llama"])
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=len(tokenizer), num_key_value_heads=2, sliding_window=4, **sizes)
    save_model(MistralForCausalLM(config), tokenizer, tmp_path)
    with pytest.raises(UserError, match="this model's attention needs sliding_window"):
        run(tmp_path, make_requests(tokenizer, 2, 1))


def test_a_newline_counts_only_after_visible_text():
    class Words:
        eos_token_id = 0

        def decode(self, tokens, **_):
            return "".join({1: "\n", 2: " yes", 3: "\n\n"}[token] for token in tokens)

    outcome = Outcome()
    for token, finish in [(1, "length"), (3, "length"), (2, "length"), (1, "newline"), (2, "newline")]:
        accept(outcome, Choice(token, logprob=None, margin=1.0), Words(), Decoding())
        assert outcome.finish == finish
    assert outcome.tokens == [1, 3, 2, 1]
