"""The demo data as read, and checks that return what they find wrong in them."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from common.base.paths import ROOT

DEMO = ROOT / "resources/demo"

REFERENCES = "instructions/alpaca_gpt4_data.json"
COMPARISONS = "instructions/comparison_data_v2.json"
TRAINING = {
    "sst2": "sst2/train.jsonl",
    "csqa": "commonsense_qa/train.jsonl",
    "mnli": "mnli/train.jsonl",
    "copa": "balanced_copa/train.jsonl",
}
EVALUATION = {
    "sst2": "sst2/validation.jsonl",
    "csqa": "commonsense_qa/validation.jsonl",
    "mnli": "mnli/validation_matched.jsonl",
    "copa": "balanced_copa/test.jsonl",
}
TASK_FILES = {path: task for files in (TRAINING, EVALUATION) for task, path in files.items()}
PATHS = [REFERENCES, COMPARISONS, *TASK_FILES]
SST2, CSQA, MNLI, COPA = EVALUATION.values()

# A dict is an object with exactly these fields, a list an array of such items, a tuple a choice of types.
SCHEMAS: dict[str, Any] = {
    REFERENCES: {"instruction": str, "input": str, "output": str},
    COMPARISONS: {
        "user_input": str,
        "responses_and_scores": [{"response": str, "source": str, "score": (int, float)}],
    },
    "sst2": {"idx": int, "sentence": str, "label": int},
    "csqa": {
        "id": str,
        "question": str,
        "question_concept": str,
        "choices": {"label": [str], "text": [str]},
        "answerKey": str,
    },
    "mnli": {"premise": str, "hypothesis": str, "label": int, "idx": int},
    "copa": {
        "id": int,
        "premise": str,
        "question": str,
        "choice1": str,
        "choice2": str,
        "label": int,
        "mirrored": bool,
    },
}
ID_FIELDS = {"sst2": "idx", "csqa": "id", "mnli": "idx", "copa": "id"}
# Fields with few values; in each file every value is to be as frequent as the others.
CATEGORIES: dict[str, dict[str, list[Any]]] = {
    "sst2": {"label": [0, 1]},
    "csqa": {"answerKey": list("ABCDE")},
    "mnli": {"label": [0, 1, 2]},
    "copa": {"label": [0, 1], "question": ["cause", "effect"]},
}

SOURCES = ["brief", "careful", "weak"]
ALPACA = (
    "Below is an instruction that describes a task{more}. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n"
)
ALPACA_WITH_INPUT = ", paired with an input that provides further context"

MIN_PROMPTS, MIN_TRAINING, MIN_EVALUATION = 300, 40, 120
MIN_SHARE_OF_TIES, MAX_SHARE_OF_TIES = 0.2, 0.8
MAX_IMBALANCE = 0.03  # of a value's share against 1/number of values
# Near-duplicates: Jaccard similarity of the sets of content words (STOP left out) reaches the limit.
SIMILAR = 0.35  # among the items of all tasks, and among the instructions
SIMILAR_TO_TASK = 0.30  # an instruction, whole or its input alone, and an item of a task
STOP_WORDS = """a an and are as at be been but by can could did do does for from had has have he her him his how i if in
    into is it its me most my no not of off on one or our out she should so some than that the their them then there
    they this to two up use was we were what when where which who whom why will with would you your"""
STOP = frozenset(STOP_WORDS.split())
MIN_WORDING = 4  # words of a prompt that count as its wording

Row = dict[str, Any]
Data = dict[str, list[Row]]


def load(path: str) -> list[Row]:
    text = (DEMO / path).read_text(encoding="utf-8")
    return json.loads(text) if path.endswith(".json") else [json.loads(line) for line in text.splitlines()]


def schema_of(path: str) -> Any:
    return SCHEMAS[TASK_FILES.get(path, path)]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def content(text: str) -> frozenset[str]:
    return frozenset(words(text)) - STOP


def contains(text: str, phrase: str) -> bool:
    """Whether the phrase occurs in the text as whole words."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1) if one != other else 1.0


def choices(task: str, row: Row) -> list[str]:
    return row["choices"]["text"] if task == "csqa" else [row["choice1"], row["choice2"]]


def item_text(task: str, row: Row) -> str:
    """All that tells an item from others."""
    match task:
        case "sst2":
            return row["sentence"]
        case "mnli":
            return f"{row['premise']} {row['hypothesis']}"
        case _:
            return " ".join([row["question" if task == "csqa" else "premise"], *choices(task, row)])


def items(data: Data) -> Iterator[tuple[str, frozenset[str]]]:
    """Name and content words of every item of every task."""
    for path, task in TASK_FILES.items():
        for number, row in enumerate(data[path], 1):
            yield f"{path}:{number}", content(item_text(task, row))


def rendered(row: Row) -> str:
    """The prompt as `comparison_data_v2.json` has it."""
    head = ALPACA.format(more=ALPACA_WITH_INPUT if row["input"] else "", instruction=row["instruction"])
    return head + (f"### Input:\n{row['input']}\n\n" if row["input"] else "")


def fits(value: Any, schema: Any) -> bool:
    if isinstance(schema, dict):
        return type(value) is dict and value.keys() == schema.keys() and all(fits(value[k], schema[k]) for k in schema)
    if isinstance(schema, list):
        return type(value) is list and len(value) > 0 and all(fits(item, schema[0]) for item in value)
    return type(value) in (schema if isinstance(schema, tuple) else (schema,))


def strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """All strings of a row with the names of their fields."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from strings(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part, name)


def similar(pairs: Iterable[tuple[tuple[str, frozenset[str]], tuple[str, frozenset[str]]]], limit: float) -> list[str]:
    """A line for each pair of named sets whose similarity reaches the limit."""
    return [f"{name} and {other}" for (name, a), (other, b) in pairs if jaccard(a, b) >= limit]


# --- Checks: each returns what it finds wrong. ---


def file_problems(path: str, raw: bytes) -> list[str]:
    """ASCII only, so UTF-8 as well; JSON indented by one, or one object a line."""
    found = [] if raw.isascii() else ["not ASCII"]
    text = raw.decode("utf-8")
    if path.endswith(".json"):
        return found + ([] if text == json.dumps(json.loads(text), indent=1) else ["not indented by one"])
    lines = text.splitlines(keepends=True)
    return found + [f"line {n}" for n, line in enumerate(lines, 1) if line != json.dumps(json.loads(line)) + "\n"]


def schema_problems(data: Data) -> list[str]:
    return [f"{path}:{n}" for path in PATHS for n, row in enumerate(data[path], 1) if not fits(row, schema_of(path))]


def text_problems(data: Data) -> list[str]:
    """Texts that are empty, or not trimmed; an instruction's input may be empty, a rendered prompt ends with a gap."""
    return [
        f"{path}:{n} {name}"
        for path in PATHS
        for n, row in enumerate(data[path], 1)
        for name, text in strings(row)
        if text != text.strip() + ("\n\n" if name == "user_input" else "") or not (text.strip() or name == "input")
    ]


def category_problems(data: Data) -> list[str]:
    found = [
        f"{path}:{n} {name}"
        for path, task in TASK_FILES.items()
        for name, known in CATEGORIES[task].items()
        for n, row in enumerate(data[path], 1)
        if row[name] not in known
    ]
    for path in (TRAINING["csqa"], EVALUATION["csqa"]):
        parts = [row["choices"] for row in data[path]]
        found += [f"{path}:{n}" for n, c in enumerate(parts, 1) if c["label"] != list("ABCDE") or len(c["text"]) != 5]
    return found


def response_problems(data: Data) -> list[str]:
    """Three responses, one of each source, scores within 1..10, the weak one never the best."""
    found = []
    for n, row in enumerate(data[COMPARISONS], 1):
        scores = {entry["source"]: entry["score"] for entry in row["responses_and_scores"]}
        if sorted(entry["source"] for entry in row["responses_and_scores"]) != SOURCES:
            found.append(f"{n}: sources")
        elif not all(1 <= score <= 10 for score in scores.values()):
            found.append(f"{n}: score out of range")
        elif scores["weak"] >= max(scores.values()):
            found.append(f"{n}: the weak response is the best")
    return found


def tie_problems(data: Data) -> list[str]:
    """Best and second best score tie in a real share of the prompts, and differ in another."""
    best = [sorted(entry["score"] for entry in row["responses_and_scores"])[-2:] for row in data[COMPARISONS]]
    share = sum(second == first for second, first in best) / len(best)
    return [] if MIN_SHARE_OF_TIES <= share <= MAX_SHARE_OF_TIES else [f"{share:.2f} of the prompts have ties"]


def agreement_problems(data: Data) -> list[str]:
    """The instruction files hold the same prompts in the same order; the reference is the careful response."""
    if len(data[REFERENCES]) != len(data[COMPARISONS]):
        return ["different numbers of prompts"]
    found = []
    for n, (reference, comparison) in enumerate(zip(data[REFERENCES], data[COMPARISONS], strict=True), 1):
        careful = [e["response"] for e in comparison["responses_and_scores"] if e["source"] == "careful"]
        if rendered(reference) != comparison["user_input"]:
            found.append(f"{n}: prompts differ")
        if [reference["output"]] != careful:
            found.append(f"{n}: the reference is not the careful response")
    return found


def size_problems(data: Data) -> list[str]:
    least = {REFERENCES: MIN_PROMPTS, COMPARISONS: MIN_PROMPTS}
    least |= dict.fromkeys(TRAINING.values(), MIN_TRAINING) | dict.fromkeys(EVALUATION.values(), MIN_EVALUATION)
    return [f"{path}: {len(data[path])}" for path in PATHS if len(data[path]) < least[path]]


def balance_problems(data: Data) -> list[str]:
    found = []
    for path, task in TASK_FILES.items():
        for name, known in CATEGORIES[task].items():
            counts = Counter(row[name] for row in data[path])
            shares = [counts[value] / len(data[path]) for value in known]
            if max(abs(share - 1 / len(known)) for share in shares) > MAX_IMBALANCE:
                found.append(f"{path} {name}: {dict(counts)}")
    return found


def id_problems(data: Data) -> list[str]:
    """Ids that repeat in a file; those of CommonsenseQA name an item across files, as upstream's do."""
    groups = {path: [row[ID_FIELDS[task]] for row in data[path]] for path, task in TASK_FILES.items()}
    groups["csqa"] = [row["id"] for path in (TRAINING["csqa"], EVALUATION["csqa"]) for row in data[path]]
    return [name for name, ids in groups.items() if len(set(ids)) < len(ids)]


def choice_problems(data: Data) -> list[str]:
    """Choices that occur in another choice of their item as whole words, so that parsing could not tell them apart."""
    return [
        f"{path}:{n} {one!r} in {other!r}"
        for path, task in TASK_FILES.items()
        if task in ("csqa", "copa")
        for n, row in enumerate(data[path], 1)
        for one, other in itertools.permutations(choices(task, row), 2)
        if contains(other, one)
    ]


def item_duplicates(data: Data) -> list[str]:
    """Near-duplicates among all items: within a file, between training and evaluation, between tasks."""
    return similar(itertools.combinations(items(data), 2), SIMILAR)


def instruction_duplicates(data: Data) -> list[str]:
    whole = [(f"prompt {n}", content(f"{r['instruction']} {r['input']}")) for n, r in enumerate(data[REFERENCES], 1)]
    return similar(itertools.combinations(whole, 2), SIMILAR)


def leaks(data: Data) -> list[str]:
    """Instructions, whole or by their input alone, that come near an item of a task."""
    prompts = []
    for n, row in enumerate(data[REFERENCES], 1):
        prompts.append((f"prompt {n}", content(f"{row['instruction']} {row['input']}")))
        if row["input"]:
            prompts.append((f"input {n}", content(row["input"])))
    return similar(itertools.product(prompts, list(items(data))), SIMILAR_TO_TASK)


def prompt_wordings(task: str, rows: list[Row]) -> set[str]:
    """The fixed words of a task's prompt; a field with two values (CoPA's cause and effect) counts as its values."""
    definition = yaml.safe_load((ROOT / f"resources/tasks/{task}.yaml").read_text(encoding="utf-8"))
    lines = set(definition["prompt"].splitlines())
    for name in definition["fields"]:
        values = {str(row[name]) for row in rows}
        if len(values) == 2:
            lines = {line.replace(f"{{{name}}}", value) for line in lines for value in values}
    parts = {" ".join(words(part)) for line in lines for part in re.split(r"\{\w+\}", line)}
    return {part for part in parts if len(part.split()) >= MIN_WORDING}


def wording_problems(data: Data) -> list[str]:
    found = []
    for task, path in EVALUATION.items():
        wordings = prompt_wordings(task, data[path])
        if not wordings:
            found.append(f"{task}: no wording to look for")
        for n, row in enumerate(data[REFERENCES], 1):
            found += [f"prompt {n}: {w}" for w in wordings if contains(f"{row['instruction']} {row['input']}", w)]
    return found


def documentation_problems(readme: str, data: Data) -> list[str]:
    """What the data card ought to say, by the files, and does not."""
    by_source: dict[str, list[float]] = {source: [] for source in SOURCES}
    for row in data[COMPARISONS]:
        for entry in row["responses_and_scores"]:
            by_source[entry["source"]].append(entry["score"])
    order = Counter(
        (careful > brief) - (careful < brief)
        for careful, brief in zip(by_source["careful"], by_source["brief"], strict=True)
    )
    stated = [f"| `{path}` | {len(data[path])} |" for path in PATHS]
    stated += [f"{min(v):g} to {max(v):g}, mean {sum(v) / len(v):.2f}" for v in by_source.values()]
    stated += [f"alone in {order[1]} prompts", f"the brief one in {order[-1]}", f"in {order[0]} they tie"]
    stated += [f"{sum(bool(row['input']) for row in data[REFERENCES])} of the prompts have an input"]
    stated += [f"below {limit:.2f}" for limit in (SIMILAR, SIMILAR_TO_TASK)]
    return [text for text in stated if text not in " ".join(readme.split())]
