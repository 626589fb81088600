"""Every architecture is asked in a way that gives transformers' own numbers, or refused; docs/models.md says which."""

import random
from pathlib import Path

import pytest
import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, GenerationConfig, PreTrainedModel

from common.base.errors import UserError
from common.models.decoding import Decoding
from common.models.equivalence import check_model
from common.models.generation import Outcome, Request, context_of
from common.models.loading import load_model, load_tokenizer, save_model
from common.models.ways import (
    CONFIG_KEY,
    GENERATE,
    PLAIN,
    SHARED_PREFIX,
    attention_of,
    build_generator,
    shared_prefix_limit,
    switching_length,
    way_for,
)
from support.architectures import ARCHITECTURES, Ids, build
from support.documented_ways import documented_ways

# The few that `make check` has time for: one of each way and reason.
QUICK = {"llama", "gemma2", "bloom", "mamba", "bert", "recurrent_gemma", "mistral:window", "phi3:longrope"}
NAMES = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
NEW_TOKENS, MARGIN, TOLERANCE = 5, 1e-3, 1e-3
GREEDY = Decoding(stop_at_newline=False, stop_at_eos=False)


def asked(model: PreTrainedModel, name: str) -> str:
    """The way of a model by the check, or `refused`."""
    try:
        return check_model(model, Ids(), name).way
    except UserError as error:
        return "refused" if name in error.where and error.remedy else f"{error}"


def requests(model: PreTrainedModel, length: int, seed: int) -> list[Request]:
    """Prompts of at most `length` tokens that share about half of them, with answers."""
    words = random.Random(seed)
    usable = range(4, len(Ids().get_vocab()))
    shared = words.choices(usable, k=length // 2)
    lengths = [1, length // 4, length - len(shared)]
    return [
        Request(f"item {i}", [*shared, *words.choices(usable, k=count)], [words.choices(usable, k=k) for k in (1, 3)])
        for i, count in enumerate(lengths)
    ]


def expected(model: PreTrainedModel, request: Request, cached: bool) -> tuple[list[int], list[float]]:
    """Tokens of transformers' generate and log-likelihoods of answers by plain passes, without our generators."""
    prompt = torch.tensor([request.prompt])
    model.generation_config = GenerationConfig()
    with torch.no_grad():
        whole = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=3, use_cache=cached,
        )  # fmt: skip
        scores = []
        for answer in request.answers:
            ids = torch.tensor([[*request.prompt, *answer]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
            before = len(request.prompt) - 1
            scores.append(sum(float(logits[before + i].log_softmax(-1)[t]) for i, t in enumerate(answer)))
    return whole[0, len(request.prompt) :].tolist(), scores


def compare(model: PreTrainedModel, found: Outcome, request: Request, cached: bool) -> None:
    tokens, scores = expected(model, request, cached)
    assert found.answer_logprobs == pytest.approx(scores, abs=TOLERANCE)
    if found.margin > MARGIN:
        assert found.tokens == tokens


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_those_of_transformers_and_the_way_is_the_documented_one(name: str) -> None:
    model = build(name)
    model.eval()
    way = asked(model, name)
    assert way == documented_ways()[name]
    if way == "refused":
        return
    if way != SHARED_PREFIX:
        setattr(model.config, CONFIG_KEY, way)
    usual, limit = model.config._attn_implementation, shared_prefix_limit(model.config)
    lengths = [40] if limit > 400 else [int(limit) - NEW_TOKENS, int(limit) - 1, int(limit) + 30]
    for seed, length in enumerate(lengths):
        asked_for = requests(model, length, seed)
        chosen = way_for(model.config, max(request.longest(NEW_TOKENS) for request in asked_for))
        model.set_attn_implementation(attention_of(chosen) or usual)
        outcomes = {}
        for batch in build_generator(chosen, model, Ids(), 1000).run(asked_for, NEW_TOKENS, GREEDY):
            outcomes |= batch
        model.set_attn_implementation(usual)
        for request in asked_for:
            compare(model, outcomes[request.key], request, cached=chosen != PLAIN)


def test_every_architecture_of_transformers_stands_on_the_page() -> None:
    named, tried = documented_ways(), set(ARCHITECTURES)
    assert len(tried) >= 100
    assert {name for name, how in named.items() if how != "untried"} == tried
    known = {config.model_type for config in MODEL_FOR_CAUSAL_LM_MAPPING}
    assert {name.split(":")[0] for name in named} == known


def test_a_window_or_a_switch_of_frequencies_ends_the_shared_prefix() -> None:
    window, switch = build("mistral:window").config, build("phi3:longrope").config
    assert [way_for(window, n) for n in (64, 65)] == [SHARED_PREFIX, GENERATE]
    assert [way_for(switch, n) for n in (96, 97)] == [SHARED_PREFIX, PLAIN]
    assert (shared_prefix_limit(window), switching_length(window)) == (64, float("inf"))
    plain = build("llama").config
    assert way_for(plain, context_of(plain) or 0) == SHARED_PREFIX
    setattr(plain, CONFIG_KEY, GENERATE)
    assert way_for(plain, 8) == GENERATE


def test_a_model_that_hardly_reads_its_prompt_is_not_asked_over_a_shared_prefix() -> None:
    model = build("llama")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = check_model(model, Ids(), "zeros")
    assert found.way == GENERATE
    assert "hardly reads" in found.passed_over[SHARED_PREFIX]


def test_weak_weights_hide_no_difference() -> None:
    model = build("bloom", initializer_range=0.004)
    assert check_model(model, Ids(), "bloom").way == GENERATE


def test_a_deep_model_is_compared_by_its_first_layers_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.models.shallow_copy.SMALL", 0)
    kinds = ["full_attention"] * 3 + ["sliding_attention"] + ["full_attention"] * 2
    model = build("gemma3_text", num_hidden_layers=6, layer_types=kinds)
    before = {name: weights.clone() for name, weights in model.named_parameters()}
    assert check_model(model, Ids(), "deep").layers == 4
    assert check_model(build("llama", num_hidden_layers=6), Ids(), "deep").layers == 2
    after = dict(model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (model.config.num_hidden_layers, len(model.config.layer_types)) == (6, 6)


def test_a_trained_checkpoint_is_asked_as_the_model_it_comes_from(
    model_folders: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer, base = load_tokenizer(model_folders["llama"]), load_model(model_folders["llama"], torch.float32)
    setattr(base.config, CONFIG_KEY, GENERATE)
    save_model(base, tokenizer, tmp_path / "base")
    trained = load_model(tmp_path / "base", torch.float32)
    trained.save_pretrained(tmp_path / "trained")
    assert way_for(load_model(tmp_path / "trained", torch.float32).config, 50) == GENERATE
