"""Sampled episodes: their distribution, their independence of batches, and the tensors made of them."""

import itertools
import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel, set_seed

from common.models.decoding import Decoding
from common.models.generation import Generator
from common.models.loading import load_tokenizer
from common.models.plain_generation import PlainGenerator
from common.models.shared_prefix import IMPLEMENTATION
from common.training.ppo.rollouts import Episode, Prompt, collate_episodes, filler, sample_episodes

WORDS, EOS, PAD = 12, 2, 1
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
SPECIAL = {"bos_token_id": EOS, "eos_token_id": EOS, "pad_token_id": PAD, "attn_implementation": IMPLEMENTATION}


def build(family: str) -> PreTrainedModel:
    """A random model of so few words that EOS comes up by itself and every word is seen often."""
    set_seed(3)
    if family == "llama":
        config = LlamaConfig(vocab_size=WORDS, intermediate_size=32, initializer_range=0.4, **SIZES, **SPECIAL)
        return LlamaForCausalLM(config).eval()
    config = OPTConfig(vocab_size=WORDS, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False, init_std=0.3,
                       dropout=0.0, **SIZES, **SPECIAL)  # fmt: skip
    return OPTForCausalLM(config).eval()


@pytest.fixture(params=["llama", "opt"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return build(request.param)


@pytest.fixture(scope="module")
def tokenizer(model_folders: dict[str, Path]):
    """Only its EOS is used here; it is token 2 in both families."""
    return load_tokenizer(model_folders["opt"])


def make_prompts(count: int, seed: int = 0) -> list[Prompt]:
    rng = random.Random(seed)
    return [Prompt(f"prompt {i}", [EOS, *rng.choices(range(3, WORDS), k=rng.randint(1, 9))]) for i in range(count)]


def sample(model, tokenizer, prompts, length=6, batch_tokens=100_000, occasion="epoch 0", **options) -> list[Episode]:
    usual = {"temperature": 1.0, "seed": 7, "stop_at_newline": False, "logprobs": True}
    generator = Generator(model, tokenizer, batch_tokens)
    return sample_episodes(generator, prompts, occasion, length, Decoding(**{**usual, **options}))


def next_token(model: PreTrainedModel, tokens: list[int], temperature: float = 1.0) -> list[float]:
    """Probabilities after a forward pass over the tokens alone, with ordinary attention."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, -1].double()
    model.set_attn_implementation(IMPLEMENTATION)
    return (logits / temperature).softmax(-1).tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_follow_the_distribution_of_the_model(tokenizer, temperature: float):
    """Pearson's chi-square of the first two tokens together; EOS ends an episode."""
    model, draws, prompt = build("llama"), 4000, [EOS, 5, 9]
    first = next_token(model, prompt, temperature)
    expected = {(EOS,): first[EOS]}
    for word in set(range(WORDS)) - {EOS}:
        second = next_token(model, [*prompt, word], temperature)
        expected |= {(word, other): first[word] * second[other] for other in range(WORDS)}
    assert sum(expected.values()) == pytest.approx(1)
    episodes = sample(model, tokenizer, [Prompt(str(i), prompt) for i in range(draws)], 2, temperature=temperature)
    found = Counter(tuple(episode.response) for episode in episodes)
    assert set(found) <= set(expected)
    # Pairs too rare for the test are counted together.
    rare = [pair for pair, share in expected.items() if share * draws < 5]
    cells = [(found[pair], share * draws) for pair, share in expected.items() if share * draws >= 5]
    if rare:
        cells.append((sum(found[pair] for pair in rare), draws * sum(expected[pair] for pair in rare)))
    statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)
    freedom = len(cells) - 1
    assert freedom > 30
    # Wilson and Hilferty's normal approximation of chi-square: one honest sampler in 30,000 lies beyond 4.
    deviation = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert abs(deviation) < 4
    uniform = sum((found[pair] - draws / len(expected)) ** 2 / (draws / len(expected)) for pair in expected)
    assert uniform > 3 * statistic


def test_an_episode_does_not_depend_on_what_it_is_sampled_with(model, tokenizer):
    prompts = make_prompts(23)
    whole = sample(model, tokenizer, prompts)
    assert [episode.prompt for episode in whole] == [prompt.tokens for prompt in prompts]
    order = list(range(23))
    random.Random(1).shuffle(order)
    for batch_tokens, chosen in [(40, order), (100_000, order), (100_000, order[:5]), (1, order[5:9])]:
        parts = sample(model, tokenizer, [prompts[i] for i in chosen], batch_tokens=batch_tokens)
        for i, episode in zip(chosen, parts, strict=True):
            assert episode.response == whole[i].response
            assert episode.finish == whole[i].finish
            assert episode.sampled_logprobs == pytest.approx(whole[i].sampled_logprobs, abs=1e-5)


@pytest.mark.parametrize("cached", [True, False])
def test_the_slow_generator_draws_the_same_samples(model, tokenizer, cached: bool):
    prompts, decoding = make_prompts(9), Decoding(temperature=1.0, seed=7, stop_at_newline=False, logprobs=True)
    expected = sample(model, tokenizer, prompts)
    model.set_attn_implementation("sdpa")
    found = sample_episodes(PlainGenerator(model, tokenizer, cached), prompts, "epoch 0", 6, decoding)
    for one, other in zip(found, expected, strict=True):
        assert (one.prompt, one.response, one.finish) == (other.prompt, other.response, other.finish)
        assert one.sampled_logprobs == pytest.approx(other.sampled_logprobs, abs=1e-5)


def test_seed_epoch_and_prompt_each_give_other_random_numbers(tokenizer):
    model, prompts = build("llama"), make_prompts(20)
    responses = [episode.response for episode in sample(model, tokenizer, prompts)]
    again = [episode.response for episode in sample(model, tokenizer, prompts)]
    assert again == responses
    for other in (
        sample(model, tokenizer, prompts, occasion="epoch 1"),
        sample(model, tokenizer, prompts, seed=8),
        sample(model, tokenizer, [Prompt(f"{prompt.id}!", prompt.tokens) for prompt in prompts]),
    ):
        assert sum(a.response == b for a, b in zip(other, responses, strict=True)) < 10


def test_temperature_0_is_the_greedy_decoding_of_transformers(model, tokenizer):
    prompts = make_prompts(16, seed=3)
    episodes = sample(model, tokenizer, prompts, 10, temperature=0.0)
    model.set_attn_implementation("eager")
    for episode in episodes:
        ids = torch.tensor([episode.prompt])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        assert [*episode.prompt, *episode.response] == whole[0].tolist()
    assert {"eos", "length"} == {episode.finish for episode in episodes}


def test_eos_ends_an_episode_and_belongs_to_it(model, tokenizer):
    episodes = sample(model, tokenizer, make_prompts(60), 6)
    assert {"eos", "length"} == {episode.finish for episode in episodes}
    for episode in episodes:
        assert EOS not in episode.response[:-1]
        assert (episode.finish == "eos") == (episode.response[-1] == EOS)
        assert len(episode.response) == 6 or episode.finish == "eos"
        assert len(episode.sampled_logprobs) == len(episode.response)


def test_where_eos_does_not_stop_every_episode_has_full_length(tokenizer):
    episodes = sample(build("llama"), tokenizer, make_prompts(60), 6, stop_at_eos=False)
    assert {len(episode.response) for episode in episodes} == {6}
    assert {episode.finish for episode in episodes} == {"length"}
    assert any(EOS in episode.response[:-1] for episode in episodes)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampled_log_likelihoods_are_those_of_a_whole_forward_pass_at_temperature_1(model, tokenizer, temperature):
    episodes = sample(model, tokenizer, make_prompts(20), 8, temperature=temperature)
    for episode in episodes:
        expected = [
            math.log(next_token(model, [*episode.prompt, *episode.response[:t]])[token])
            for t, token in enumerate(episode.response)
        ]
        assert episode.sampled_logprobs == pytest.approx(expected, abs=1e-4)


EPISODES = [
    Episode([7, 8, 9], [3, EOS], [-0.5, -0.25], "eos"),
    Episode([4], [5, 6, 7, 8], [-1.0, -2.0, -3.0, -4.0], "length"),
    filler(EOS),
    Episode([9, 9, 9, 9, 9, 9], [EOS], [-0.125], "eos"),
]


@pytest.mark.parametrize("end_to_end", [False, True])
def test_collated_tensors_hold_each_token_at_its_place(end_to_end: bool):
    batch = collate_episodes(EPISODES, PAD, "cpu", end_to_end)
    ids, shape = batch.inputs["input_ids"], (1, 19) if end_to_end else (4, 7)
    assert ids.shape == batch.labels.shape == shape
    assert batch.mask.shape == (4, 4)
    marks = torch.arange(ids.numel(), dtype=torch.float32).view(shape)
    found, found_shifted = batch.at_responses(marks), batch.at_responses(marks[:, :-1])
    for i, episode in enumerate(EPISODES):
        length, start = len(episode.tokens), len(episode.prompt)
        first = sum(len(earlier.tokens) for earlier in EPISODES[:i]) if end_to_end else 7 * i
        assert ids.flatten()[first : first + length].tolist() == episode.tokens
        assert batch.labels.flatten()[first : first + length].tolist() == [-100] * start + episode.response
        assert batch.last[i] == first + length - 1
        for t, column in itertools.product(range(4), (found, found_shifted)):
            real = t < len(episode.response)
            assert batch.mask[i, t] == real
            assert batch.sampled_logprobs[i, t] == (episode.sampled_logprobs[t] if real else 0)
            assert column[i, t] == (first + start - 1 + t if real else 0)


def test_padding_is_marked_and_ends_of_sequences_are_known():
    padded = collate_episodes(EPISODES, PAD, "cpu", end_to_end=False)
    for row, episode in enumerate(EPISODES):
        missing = 7 - len(episode.tokens)
        assert padded.inputs["attention_mask"][row].tolist() == [1] * len(episode.tokens) + [0] * missing
        assert padded.inputs["input_ids"][row].tolist() == episode.tokens + [PAD] * missing
        assert padded.labels[row, len(episode.tokens) :].tolist() == [-100] * missing
    inputs = collate_episodes(EPISODES, PAD, "cpu", end_to_end=True).inputs
    assert inputs["position_ids"].tolist() == [[place for episode in EPISODES for place in range(len(episode.tokens))]]
    assert inputs["attention_pass"].lengths == [5, 5, 2, 7]


@pytest.mark.parametrize("end_to_end", [False, True])
def test_a_batch_of_fillers_alone_has_a_column_and_adds_nothing(end_to_end: bool):
    batch = collate_episodes([filler(EOS)] * 3, PAD, "cpu", end_to_end)
    assert batch.mask.shape == (3, 1)
    assert not batch.mask.any()
    assert (batch.labels == -100).all()
    values = torch.full(batch.labels.shape, 5.0, requires_grad=True)
    picked = batch.at_responses(values)
    assert not picked.any()
    picked.sum().backward()
    assert not values.grad.any()


def test_sequences_end_to_end_are_read_each_by_itself(model):
    """Forwards and backwards, as rows of their own are with ordinary attention."""
    episodes = [episode for episode in EPISODES if episode.finish != "filler"]
    batch = collate_episodes(episodes, PAD, "cpu", end_to_end=True)
    model(**batch.inputs).logits.square().sum().backward()
    found = [parameter.grad for parameter in model.parameters()]
    logits = model(**batch.inputs).logits[0].split([len(episode.tokens) for episode in episodes])
    model.zero_grad(set_to_none=True)
    model.set_attn_implementation("eager")
    for episode, own in zip(episodes, logits, strict=True):
        expected = model(input_ids=torch.tensor([episode.tokens])).logits[0]
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
        expected.square().sum().backward()
    for gradient, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-4)
