"""Demo data: upstream's schemas, sizes, balance, and no item twice or in two places; each check is shown to fail."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from support.demo_checks import (
    COMPARISONS,
    COPA,
    CSQA,
    DEMO,
    EVALUATION,
    MIN_EVALUATION,
    MIN_PROMPTS,
    MIN_TRAINING,
    MNLI,
    PATHS,
    REFERENCES,
    SST2,
    TRAINING,
    Data,
    agreement_problems,
    balance_problems,
    category_problems,
    choice_problems,
    documentation_problems,
    file_problems,
    id_problems,
    instruction_duplicates,
    item_duplicates,
    leaks,
    load,
    response_problems,
    schema_problems,
    size_problems,
    text_problems,
    tie_problems,
    wording_problems,
)


@pytest.fixture(scope="module")
def data() -> Data:
    return {path: load(path) for path in PATHS}


# --- The data pass every check, and every check finds a fault put in. ---

CHECKS: list[Callable[[Data], list[str]]] = [
    schema_problems,
    text_problems,
    category_problems,
    response_problems,
    tie_problems,
    agreement_problems,
    size_problems,
    balance_problems,
    id_problems,
    choice_problems,
    item_duplicates,
    instruction_duplicates,
    leaks,
    wording_problems,
]

Fault = Callable[[Data], Any]


def put(path: str, **values: Any) -> Fault:
    """Set fields of a file's first row."""
    return lambda data: data[path][0].update(values)


def drop(path: str, name: str) -> Fault:
    return lambda data: data[path][0].pop(name)


def shorten(path: str, length: int) -> Fault:
    return lambda data: data.update({path: data[path][:length]})


def put_response(position: int, **values: Any) -> Fault:
    """Set fields of a response to the first prompt: 0 is the careful one, 1 the brief one, 2 the weak one."""
    return lambda data: data[COMPARISONS][0]["responses_and_scores"][position].update(values)


def score_all(data: Data, scores: tuple[int, int, int]) -> None:
    for row in data[COMPARISONS]:
        for entry, score in zip(row["responses_and_scores"], scores, strict=True):
            entry["score"] = score


def put_choices(data: Data, **values: Any) -> None:
    data[CSQA][0]["choices"].update(values)


def copy_field(data: Data, name: str, source: tuple[str, int], target: tuple[str, int]) -> None:
    """Overwrite a field of a row with that of another row."""
    data[target[0]][target[1]][name] = data[source[0]][source[1]][name]


def ask_item(data: Data, task: str, name: str) -> None:
    """Make the first instruction ask an item of a task in other words."""
    row = data[EVALUATION[task]][7]
    data[REFERENCES][0].update(instruction="Say what you think of this.", input=row[name] + " Well?")


FAULTS: dict[str, tuple[Callable[[Data], list[str]], Fault]] = {
    "no label": (schema_problems, drop(SST2, "label")),
    "one field more": (schema_problems, put(MNLI, genre="fiction")),
    "label as text": (schema_problems, put(MNLI, label="0")),
    "label as truth value": (schema_problems, put(COPA, label=True)),
    "mirrored as number": (schema_problems, put(COPA, mirrored=0)),
    "choices as list": (schema_problems, put(CSQA, choices=["bank", "zoo"])),
    "no input": (schema_problems, drop(REFERENCES, "input")),
    "score as text": (schema_problems, put_response(0, score="9")),
    "no responses": (schema_problems, put(COMPARISONS, responses_and_scores=[])),
    "blank sentence": (text_problems, put(SST2, sentence=" ")),
    "empty response": (text_problems, put_response(1, response="")),
    "space at the end": (text_problems, put(MNLI, premise="It rained. ")),
    "unknown label": (category_problems, put(SST2, label=-1)),
    "unknown key": (category_problems, put(CSQA, answerKey="F")),
    "unknown question": (category_problems, put(COPA, question="reason")),
    "four choices": (category_problems, partial(put_choices, text=["bank", "zoo", "pond", "attic"])),
    "keys out of order": (category_problems, partial(put_choices, label=list("BACDE"))),
    "unknown source": (response_problems, put_response(0, source="gpt4")),
    "two responses": (response_problems, lambda data: data[COMPARISONS][0]["responses_and_scores"].pop()),
    "score below 1": (response_problems, put_response(2, score=0.5)),
    "score above 10": (response_problems, put_response(0, score=10.5)),
    "weak and best": (response_problems, put_response(2, score=10)),
    "no ties": (tie_problems, partial(score_all, scores=(9, 8, 2))),
    "ties only": (tie_problems, partial(score_all, scores=(9, 9, 2))),
    "other prompt": (agreement_problems, put(REFERENCES, instruction="Count to ten.")),
    "other order": (agreement_problems, lambda data: data[REFERENCES].reverse()),
    "prompt missing": (agreement_problems, shorten(COMPARISONS, 335)),
    "other reference": (agreement_problems, put(REFERENCES, output="Five sixths.")),
    "few prompts": (size_problems, shorten(COMPARISONS, MIN_PROMPTS - 1)),
    "few to train": (size_problems, shorten(TRAINING["copa"], MIN_TRAINING - 1)),
    "few to evaluate": (size_problems, shorten(CSQA, MIN_EVALUATION - 1)),
    "positive only": (balance_problems, lambda data: [row.update(label=1) for row in data[SST2]]),
    "many answers A": (balance_problems, lambda data: [row.update(answerKey="A") for row in data[CSQA][:20]]),
    "no effects": (balance_problems, lambda data: [row.update(question="cause") for row in data[COPA]]),
    "id twice": (id_problems, partial(copy_field, name="idx", source=(SST2, 3), target=(SST2, 4))),
    "id in two files": (id_problems, partial(copy_field, name="id", source=(TRAINING["csqa"], 0), target=(CSQA, 0))),
    "choice in a choice": (choice_problems, put(COPA, choice1="It fell.", choice2="Then it fell on me.")),
    "choice twice": (choice_problems, partial(put_choices, text=["bank", "zoo", "Bank", "attic", "lake"])),
    "item twice": (item_duplicates, partial(copy_field, name="sentence", source=(SST2, 3), target=(SST2, 4))),
    "item to train and evaluate": (
        item_duplicates,
        partial(copy_field, name="sentence", source=(TRAINING["sst2"], 3), target=(SST2, 4)),
    ),
    "item reworded": (item_duplicates, put(SST2, sentence="She was superb, I thought, as that detective.")),
    "instruction twice": (instruction_duplicates, lambda data: data[REFERENCES].append(data[REFERENCES][5])),
    "instruction reworded": (
        instruction_duplicates,
        put(REFERENCES, instruction="How is the metal called that is liquid at room temperature?"),
    ),
    "review to judge": (leaks, partial(ask_item, task="sst2", name="sentence")),
    "inference to draw": (leaks, partial(ask_item, task="mnli", name="premise")),
    "question to answer": (
        leaks,
        put(
            REFERENCES,
            instruction="Pick the thing you would use to cut a sheet of paper.",
            input="spoon, pillow, ladder, scissors",
        ),
    ),
    "wording of CoPA": (wording_problems, put(REFERENCES, instruction="Rain fell. What is the effect? Choose.")),
    "wording of CSQA": (wording_problems, put(REFERENCES, input="Select the correct answer to the question: 1 + 1?")),
    "wording of MNLI": (
        wording_problems,
        put(REFERENCES, input="Based on the paragraph above, can we conclude that it rained?"),
    ),
    "wording of SST2": (wording_problems, put(REFERENCES, instruction="Is this movie review positive?")),
}


@pytest.mark.parametrize("path", PATHS)
def test_files_are_ascii_and_formatted(path: str) -> None:
    assert file_problems(path, (DEMO / path).read_bytes()) == []


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("a.json", b'[\n  {\n    "a": 1\n  }\n]'),
        ("a.json", '[\n "caf\u00e9"\n]'.encode()),
        ("a.jsonl", b'{"a":1}\n'),
        ("a.jsonl", b'{"a": 1}'),
        ("a.jsonl", '{"a": "caf\u00e9"}\n'.encode()),
    ],
)
def test_the_check_of_files_finds_faults(path: str, raw: bytes) -> None:
    assert file_problems(path, raw)


def test_no_file_is_left_out() -> None:
    assert {str(path.relative_to(DEMO)) for path in DEMO.rglob("*.json*")} == set(PATHS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_data_pass(check: Callable[[Data], list[str]], data: Data) -> None:
    assert check(data) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_checks_find_faults(fault: str, data: Data) -> None:
    check, spoil = FAULTS[fault]
    spoiled = copy.deepcopy(data)
    spoil(spoiled)
    assert check(spoiled)


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _ in FAULTS.values()} == set(CHECKS)


def test_the_data_card_states_the_numbers(data: Data) -> None:
    readme = (DEMO / "README.md").read_text(encoding="utf-8")
    assert documentation_problems(readme, data) == []
    assert documentation_problems(readme, data | {SST2: data[SST2][1:]}) == [f"| `{SST2}` | {len(data[SST2]) - 1} |"]
    spoiled = copy.deepcopy(data)
    score_all(spoiled, (9, 8, 2))
    assert len(documentation_problems(readme, spoiled)) == 6
