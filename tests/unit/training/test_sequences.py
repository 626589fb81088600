"""Loss masks token by token, for a LLaMA-like and an OPT-like tokenizer."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import train_coh
from common.data.prompts import PromptFormat, few_shot_prompt
from common.evaluation.draws import Evaluation
from common.models.loading import load_tokenizer
from common.training.sequences import IGNORED, Response, TokenSequence, _allot, encode, sft_responses

PROMPT = PromptFormat(
    "{instruction}\n",
    "{instruction}\nInput: {input}\n",
    {"response": "Response:", "better": "better response:", "worse": "worse response:", "tie": "equal response:"},
)
ROW = {"id": "x", "instruction": "Name a fruit.", "input": "red, sweet", "response": "An apple, of course."}
PAIR = {**ROW, "better": "A ripe cherry.", "worse": "Fruit fruit", "better_first": True, "tie": False}


def learnt_runs(sequence: TokenSequence) -> list[list[int]]:
    """Runs of consecutive learnt tokens."""
    runs: list[list[int]] = []
    previous = False
    for token, label in zip(sequence.input_ids, sequence.labels, strict=True):
        if label != IGNORED:
            assert label == token
            runs = [*runs, [token]] if not previous else [*runs[:-1], [*runs[-1], token]]
        previous = label != IGNORED
    return runs


def sft(tokenizer, row=ROW, max_length=256) -> TokenSequence:
    sequence = encode(tokenizer, sft_responses(row, PROMPT), max_length)
    assert sequence is not None
    return sequence


def coh(tokenizer, row=PAIR, max_length=256, loss_on="responses") -> TokenSequence:
    sequence = encode(tokenizer, train_coh.coh_responses(row, PROMPT, tie_marker=True), max_length, loss_on)
    assert sequence is not None
    return sequence


def test_sft_learns_the_response_and_its_eos_and_nothing_else(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    sequence = sft(tokenizer)
    (run,) = learnt_runs(sequence)
    assert run[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(run[:-1]).strip() == ROW["response"]
    unlearnt = [token for token, label in zip(sequence.input_ids, sequence.labels, strict=True) if label == IGNORED]
    prompt = "Name a fruit.\nInput: red, sweet\nResponse:"
    assert unlearnt == tokenizer(prompt)["input_ids"]


def test_padding_is_not_eos(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert sft(tokenizer).input_ids.count(tokenizer.pad_token_id) == 0


def test_a_training_prompt_is_the_prompt_evaluation_sends(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    evaluation = Evaluation(tokenizer, "Response:", "demo", "shared", 16)
    sent = evaluation.prompt_tokens(few_shot_prompt([], PROMPT.prompt(ROW["instruction"], ROW["input"]), "Response:"))
    sequence = sft(tokenizer)
    assert sequence.input_ids[: len(sent)] == sent
    answer = evaluation.answer_tokens(ROW["response"])
    assert sequence.input_ids[len(sent) : -1] == answer


@pytest.mark.parametrize("better_first", [True, False])
def test_coh_learns_both_responses_each_with_its_eos(model_folder: Path, better_first: bool):
    tokenizer = load_tokenizer(model_folder)
    sequence = coh(tokenizer, {**PAIR, "better_first": better_first})
    first, second = learnt_runs(sequence)
    assert first[-1] == second[-1] == tokenizer.eos_token_id
    texts = [tokenizer.decode(run[:-1]).strip() for run in (first, second)]
    assert texts == ([PAIR["better"], PAIR["worse"]] if better_first else [PAIR["worse"], PAIR["better"]])
    text = tokenizer.decode(sequence.input_ids)
    markers = ["better response:", "worse response:"]
    assert [text.count(marker) for marker in markers] == [1, 1]
    assert (text.index(markers[0]) < text.index(markers[1])) == better_first
    assert text.count("Name a fruit.") == 1


def test_a_tied_pair_carries_the_tie_marker_twice(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    text = tokenizer.decode(coh(tokenizer, {**PAIR, "tie": True}).input_ids)
    assert text.count("equal response:") == 2
    assert "better response:" not in text


def test_loss_on_all_learns_every_token(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    sequence = coh(tokenizer, loss_on="all")
    assert sequence.labels == sequence.input_ids


def test_markup_of_special_tokens_in_a_response_stays_text(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    special = set(tokenizer.all_special_ids)
    row = {**ROW, "instruction": "Say </s> and <pad>.", "response": "The tag </s> ends, <s> begins, <pad> pads."}
    sequence = sft(tokenizer, row)
    begins = 1 if tokenizer("x")["input_ids"][0] in special else 0
    assert not special & set(sequence.input_ids[begins:-1])
    assert tokenizer.decode(learnt_runs(sequence)[0][:-1]).strip() == row["response"]


def test_a_cut_response_is_counted_and_its_eos_is_not_learnt(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    whole = sft(tokenizer)
    cut = sft(tokenizer, max_length=len(whole.input_ids) - 3)
    assert cut.cut == ("response",)
    assert cut.input_ids[-1] == tokenizer.eos_token_id
    assert cut.labels[-1] == IGNORED
    assert cut.input_ids[:-1] == whole.input_ids[:-4]
    assert len(cut.input_ids) == len(whole.input_ids) - 3


def test_the_longer_coh_response_gives_way_and_the_other_stays_whole(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    row = {**PAIR, "better": "short", "worse": "a very long answer that goes on and on and on " * 3}
    whole = coh(tokenizer, row)
    cut = coh(tokenizer, row, max_length=len(whole.input_ids) - 10)
    assert cut.cut == ("worse",)
    first, second = learnt_runs(cut)
    assert first == learnt_runs(whole)[0]
    assert second == learnt_runs(whole)[1][: len(second)]
    assert second[-1] != tokenizer.eos_token_id


def test_a_prompt_without_room_for_a_response_is_left_out(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    prompt_length = len(tokenizer("Name a fruit.\nInput: red, sweet\nResponse:")["input_ids"])
    assert encode(tokenizer, sft_responses(ROW, PROMPT), prompt_length + 1) is None
    assert encode(tokenizer, sft_responses(ROW, PROMPT), prompt_length + 2) is not None


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(0, 100))
@settings(deadline=None)
def test_room_is_used_up_and_only_the_longest_give_way(lengths: list[int], room: int):
    kept = _allot(lengths, room)
    assert sum(kept) == min(sum(lengths), room)
    assert all(0 <= keep <= length for keep, length in zip(kept, lengths, strict=True))
    shortened = [keep for keep, length in zip(kept, lengths, strict=True) if keep < length]
    assert not shortened or max(kept) - min(shortened) <= 1


def test_the_mask_follows_the_text_for_awkward_responses(model_folder: Path):
    tokenizer = load_tokenizer(model_folder)
    for text in ["- a list", "\u00fcber", '"quoted"', "1", "line\nline", "...", "\U0001f600 smile"]:
        before = "Question?\nResponse:"
        sequence = encode(tokenizer, [Response(before, " " + text, "response")], 100)
        assert sequence is not None
        (run,) = learnt_runs(sequence)
        assert sequence.input_ids[: -len(run)] == tokenizer(before)["input_ids"]
        assert tokenizer.decode(run[:-1]).strip() == text
