"""Prompts with made-up scored responses, sizes of small splits, and all pairs found slowly."""

from collections import Counter

from hypothesis import strategies as st

from common.data.instructions import prompt_id

SMALL = {
    "prompts": 40,
    "heldout": 4,
    "rl_sft": 10,
    "rl_reward": 10,
    "rl_prompts": 16,
    "fine_tune_on_heldout": False,
    "ties": "keep",
    "pairs": "all_distinct",
}
SCORES = ((9, 7, 3), (8, 8, 5), (9, 6, 6), (4, 4, 4))
SEEDS = st.integers(0, 2**31)


def response(score, source="a", text=None):
    return {"source": source, "text": text or f"{source} scored {score}", "score": float(score)}


def prompt_row(number, scores=(9, 7, 3), reference=None, instruction=None, input_text=""):
    """A row of prepare_instructions, with a response for each score."""
    instruction = instruction or f"Task number {number}"
    return {
        "id": prompt_id(instruction, input_text),
        "instruction": instruction,
        "input": input_text,
        "reference": f"Answer {number}" if reference is None else reference,
        "responses": [response(score, source) for score, source in zip(scores, ("gpt4", "gpt3", "opt"), strict=False)],
    }


def prompt_rows(count):
    return [prompt_row(number, SCORES[number % len(SCORES)]) for number in range(count)]


def ids(rows):
    return [row["id"] for row in rows]


def slow_pairs(row):
    """Every ordered pair of a prompt's responses of which the first has the higher score."""
    found = Counter()
    for first in row["responses"]:
        for second in row["responses"]:
            if first["score"] > second["score"]:
                found[tuple(first.values()), tuple(second.values())] += 1
    return list(found.elements())
