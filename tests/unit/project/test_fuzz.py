"""Every loader against damaged files: read as an independent parser reads them, or refused by name; nothing else.

The independent readings are written for plainness. They raise on whatever a loader must refuse, so a loader that
accepts such a file fails here.
"""

import csv
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.data.instructions import load_instructions
from common.data.task_definitions import load_questions, load_task
from common.evaluation.answer_cache import ItemCache
from common.files.parquet import write_parquet
from common.files.whole_files import read_json, write_record
from common.human_eval.ratings import load_rating
from common.planning import hardware
from common.planning.hardware import load_assumptions, load_gpu
from common.tables.scores import load_cell
from support.amounts import share
from support.mutations import as_json, damaged_bytes, damaged_value, fuzz, time_limit
from support.rating_sheets import ARMS, STAGES, sheet_of

DEMO = ROOT / "resources/demo"
EACH, ALL = share(1000), share(10_000)

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]
COUNTS: dict[str, Counter[str]] = {}


def damage(
    content: bytes, parse: Callable[[bytes], Any] | None = None, write: Callable[[Any], bytes] = as_json
) -> Callable[[random.Random], bytes]:
    """Damages values two times of three where a parser is given, else bytes."""
    value = parse(content) if parse else None

    def mutate(chance: random.Random) -> bytes:
        while parse and chance.random() < 2 / 3:
            try:
                return write(damaged_value(value, chance))
            except (ValueError, TypeError, AttributeError, OverflowError, pyarrow.ArrowException, yaml.YAMLError):
                continue  # no file can hold this value
        return damaged_bytes(content, chance)

    return mutate


def count(loader: str, *runs: Counter[str]) -> None:
    """Print and keep a loader's counts."""
    COUNTS[loader] = sum(runs, Counter())
    accepted, refused = COUNTS[loader]["accepted"], COUNTS[loader]["refused"]
    print(f"{loader}: {accepted + refused} mutations with an effect, {accepted} accepted, {refused} refused")
    assert accepted + refused >= EACH


# --- readings ------------------------------------------------------------------------------------------------------


def text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    assert isinstance(value, str)
    value.encode()
    return value.strip()


def filled(row: dict[str, Any], key: str) -> str:
    assert text(row, key)
    return text(row, key)


def usable(rows: list[Any], parse: Callable[[Any], Any], strict: bool) -> list[Any]:
    """Rows that parse; under `strict` all must."""
    found = []
    for row in rows:
        try:
            found.append(parse(row))
        except (AssertionError, KeyError, TypeError, ValueError, AttributeError):
            assert not strict
    return found


def whole_list(content: bytes) -> list[Any]:
    rows = json.loads(content.decode("utf-8-sig"))
    assert isinstance(rows, list)
    return rows


def reference(row: Any) -> tuple[str, str, str]:
    given = row["input"]
    missing = given is None or given != given
    return filled(row, "instruction"), "" if missing else text(row, "input"), text(row, "output")


def rendered(prompt: str) -> tuple[str, str]:
    """Instruction and input of Alpaca's rendering, line by line."""
    plain, paired = "Below is an instruction that describes a task. ", "Below is an instruction that describes a task, "
    opening = prompt.lstrip()
    assert opening.startswith(plain) or opening.startswith(paired + "paired with an input ")
    lines = opening.split("\n")
    headings = [i for i, line in enumerate(lines) if line.rstrip(" ").endswith("### Instruction:")]
    assert headings
    body = lines[headings[0] + 1 :]
    marks = [i for i, line in enumerate(body) if line.strip() == "### Response:"]
    if marks and not "".join(body[marks[-1] + 1 :]).strip():
        body = body[: marks[-1]]
    if opening.startswith(plain):
        return "\n".join(body).strip(), ""
    inputs = [i for i, line in enumerate(body) if line.lstrip().rstrip(" ") == "### Input:"]
    assert inputs, f"no input: {prompt!r}"
    at = inputs[0]
    return "\n".join(body[:at]).strip(), "\n".join(body[at + 1 :]).strip()


def response(entry: Any) -> dict[str, Any]:
    score = entry["score"]
    assert type(score) in (int, float)
    assert abs(float(score)) < float("inf")
    return {
        "source": entry["source"] + text(entry, "source")[:0],
        "text": text(entry, "response"),
        "score": float(score),
    }


def comparison(row: Any) -> tuple[tuple[str, str], list[dict[str, Any]]]:
    assert isinstance(row["user_input"], str)
    row["user_input"].encode()
    prompt = rendered(row["user_input"])
    assert prompt[0]
    assert isinstance(row["responses_and_scores"], list)
    return prompt, [found for entry in row["responses_and_scores"] if (found := response(entry))["text"]]


class Cell(str):
    """A value of a CSV file, where numbers are text too."""


def whole_number(value: Any) -> int:
    if isinstance(value, Cell):
        digits = value.partition(".")[0].removeprefix("-")
        assert not value.partition(".")[2].replace("0", "")
        assert digits.isascii()
        assert digits.isdigit()
        assert len(digits) <= 18
        return int(value.partition(".")[0])
    if type(value) is float and value % 1 == 0 and -(2**53) < value < 2**53:
        return int(value)
    assert type(value) is int
    return value


IMPOSSIBLE = yaml.safe_load((ROOT / "resources/tasks/mnli.yaml").read_text(encoding="utf-8"))["answers"]["labels"][1]
IMPOSSIBLE = [IMPOSSIBLE["text"], *IMPOSSIBLE["also"]]


def question(task: str, row: Any) -> tuple[str, str, list[str], list[list[str]], int]:
    """Id, text, answers, accepted wordings and right answer, as the paper's section 5.1 asks."""
    if task == "sst2":
        identity, asked = whole_number(row["idx"]), f"Is this movie review positive?\n{filled(row, 'sentence')}\n"
        accepted = [["No", "negative"], ["Yes", "positive"]]
    elif task == "mnli":
        identity = whole_number(row["idx"])
        asked = f"{filled(row, 'premise')}\nBased on the paragraph above can we conclude that "
        asked += f"{filled(row, 'hypothesis')}?\n"
        accepted = [["Yes", "entailment"], IMPOSSIBLE, ["No", "contradiction"]]
    elif task == "copa":
        identity = whole_number(row["id"])
        choices = [filled(row, "choice1"), filled(row, "choice2")]
        listed = "\n".join(f"- {choice}" for choice in choices)
        asked = f"{filled(row, 'premise')}\nWhat is the {filled(row, 'question')}?\n{listed}\n"
        accepted = [[choice] for choice in choices]
    else:
        identity, letters = filled(row, "id"), row["choices"]["label"]
        assert isinstance(letters, list)
        assert isinstance(row["choices"]["text"], list)
        assert (
            len(letters)
            == len(row["choices"]["text"])
            == len({filled({"": letter}, "") and letter for letter in letters})
        )
        choices = [filled({"": choice}, "") for choice in row["choices"]["text"]]
        listed = "\n".join(f"- {choice}" for choice in choices)
        asked = f"Select the correct answer to the question.\n{filled(row, 'question')}\n{listed}\n"
        return identity, asked, choices, [[c] for c in choices], letters.index(filled(row, "answerKey"))
    gold = whole_number(row["label"])
    assert 0 <= gold < len(accepted)
    return str(identity), asked, [words[0] for words in accepted], accepted, gold


def json_lines(content: bytes) -> list[Any]:
    """One value a line that is not blank; what is none stands as it is and parses as no row."""
    rows: list[Any] = []
    for line in content.split(b"\n"):
        if line.strip():
            try:
                rows.append(json.loads(line.decode()))
            except (ValueError, RecursionError):
                rows.append(line)
    return rows


def csv_rows(content: bytes) -> list[Any]:
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = next(reader, [])
    assert len({*header}) == len(header)
    rows = [[Cell(value) for value in row] for row in reader if row]
    return [dict(zip(header, row, strict=True)) if len(row) == len(header) else None for row in rows]


def parquet_rows(content: bytes) -> list[Any]:
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
    return [row for batch in file.iter_batches(batch_size=3) for row in batch.to_pylist()]


def libyaml(content: bytes) -> Any:
    """By libyaml, where the loaders use PyYAML's own parser."""
    return yaml.load(content.decode(), Loader=yaml.CSafeLoader)  # the safe one


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()


# --- instructions --------------------------------------------------------------------------------------------------


@pytest.fixture
def instruction_files(tmp_path: Path) -> tuple[Path, Path]:
    """The first rows of the demo's two files."""
    paths = tmp_path / "alpaca_gpt4_data.json", tmp_path / "comparison_data_v2.json"
    for path in paths:
        path.write_bytes(as_json(json.loads((DEMO / "instructions" / path.name).read_bytes())[:5]))
    return paths


@pytest.mark.parametrize("part", ["references", "comparisons"])
def test_instructions(instruction_files: tuple[Path, Path], part: str) -> None:
    references, comparisons = instruction_files
    prompts = [reference(row)[:2] for row in json.loads(references.read_bytes())]
    path = references if part == "references" else comparisons

    def load(share: float) -> tuple[Any, ...]:
        found = load_instructions(references, comparisons, share)
        counts = found.counts[part]
        sums = (counts["rows"], sum(counts["rejected"].values()), counts["repeated"])
        if part == "references":
            return [(row["instruction"], row["input"], row["reference"]) for row in found.rows], *sums
        return [row["responses"] for row in found.rows], *sums, counts["without_reference"]

    def read(content: bytes, strict: bool) -> tuple[Any, ...]:
        rows = whole_list(content)
        good = usable(rows, reference if part == "references" else comparison, strict)
        first = {row[0] if part == "comparisons" else row[:2]: row for row in reversed(good)}
        order = {row[0] if part == "comparisons" else row[:2]: 0 for row in good}
        sums = (len(rows), len(rows) - len(good), len(good) - len(first))
        if part == "references":
            return [first[key] for key in order], *sums
        responses = [first[prompt][1] if prompt in first else [] for prompt in prompts]
        return responses, *sums, len(first.keys() - {*prompts})

    mutate = damage(path.read_bytes(), json.loads)
    runs = [
        fuzz(path, mutate, lambda s=strict: load(0.0 if s else 1.0), lambda c, s=strict: read(c, s), 600, seed)
        for seed, strict in enumerate((True, False))
    ]
    count(part, *runs)


# --- tasks ---------------------------------------------------------------------------------------------------------

TASK_FILES = {"sst2": "sst2", "csqa": "commonsense_qa", "mnli": "mnli", "copa": "balanced_copa"}
FORMATS: dict[str, tuple[Callable[[bytes], Any], Callable[[bytes], list[Any]]]] = {
    "jsonl": (json_lines, json_lines),
    "csv": (csv_rows, csv_rows),
    "parquet": (parquet_rows, parquet_rows),
}


def encoded(rows: list[Any], suffix: str) -> bytes:
    if suffix == "jsonl":
        return b"".join(as_json(row) + b"\n" for row in rows)
    if suffix == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerows([list(rows[0]), *(list(row.values()) if isinstance(row, dict) else [row] for row in rows)])
        return buffer.getvalue().encode()
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_tasks(tmp_path: Path, suffix: str) -> None:
    runs = []
    parse, rows_of = FORMATS[suffix]
    for seed, (task, folder) in enumerate(TASK_FILES.items()):
        if (suffix, task) == ("csv", "csqa"):
            continue  # a CSV file has no lists
        rows = [json.loads(line) for line in (DEMO / folder / "train.jsonl").read_bytes().splitlines()[:4]]
        path = tmp_path / f"{task}_rows.{suffix}"
        path.write_bytes(encoded(rows, suffix))
        definition = load_task(ROOT / f"resources/tasks/{task}.yaml")
        strict = seed % 2 == 0

        def load(share: float, definition: Any = definition, path: Path = path) -> tuple[Any, ...]:
            questions, counts = load_questions(definition, path, share)
            found = [(q.id, q.question, q.answers, q.accepted, q.gold) for q in questions]
            return found, counts["rows"], sum(counts["rejected"].values())

        def read(content: bytes, task: str = task, strict: bool = strict) -> tuple[Any, ...]:
            rows = rows_of(content)
            good = usable(rows, lambda row: question(task, row), strict)
            assert len({row[0] for row in good}) == len(good) > 0
            return good, len(rows), len(rows) - len(good)

        mutate = damage(path.read_bytes(), parse, lambda rows: encoded(rows, suffix))
        wanted = 400 if suffix == "csv" else 300
        runs.append(fuzz(path, mutate, lambda s=strict, f=load: f(0.0 if s else 1.0), read, wanted, seed))
    count(f"tasks, {suffix}", *runs)


def test_task_definitions(tmp_path: Path) -> None:
    runs = []
    for seed, task in enumerate(TASK_FILES):
        path = tmp_path / f"{task}_definition.yaml"
        path.write_bytes((ROOT / f"resources/tasks/{task}.yaml").read_bytes())
        mutate = damage(path.read_bytes(), libyaml, as_yaml)
        runs.append(
            fuzz(
                path, mutate, lambda p=path: vars(load_task(p)), lambda c: {"option": "{text}", **libyaml(c)}, 300, seed
            )
        )
    count("task definitions", *runs)


# --- configuration -------------------------------------------------------------------------------------------------


class Laid(dict):
    """A configuration before defaults are filled in; equal to any that has all of it."""

    def __eq__(self, other: object) -> bool:
        return _has(other, dict(self))

    __hash__ = None  # type: ignore[assignment]


def _has(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _has(whole[key], part[key]) for key in part)
    return type(whole) is type(part) and whole == part


def lay(under: Any, over: Any) -> Any:
    """Key by key; a block with a `kind` replaces the one under it."""
    if not isinstance(under, dict) or not isinstance(over, dict) or "kind" in over:
        return over
    return {**under, **{key: lay(under[key], value) if key in under else value for key, value in over.items()}}


def test_configuration(tmp_path: Path) -> None:
    base, path = ROOT / "config.yaml", tmp_path / "overlay.yaml"
    path.write_bytes((ROOT / "config/smoke.yaml").read_bytes())
    under = libyaml(base.read_bytes())

    def read(content: bytes) -> Laid:
        assert "preset" in libyaml(content)
        return Laid(lay(under, libyaml(content)))

    mutate = damage(path.read_bytes(), libyaml, as_yaml)
    count("configuration", fuzz(path, mutate, lambda: load_configuration(base, [path], {}), read, 1100, 1))


# --- ratings -------------------------------------------------------------------------------------------------------


def test_ratings(tmp_path: Path) -> None:
    sheet = sheet_of(2, STAGES, ARMS)
    items = [item["item"] for item in sheet.items]
    path = tmp_path / "rating_blue-heron.json"
    ratings = [
        {"item": item, "choice": choice} for item, choice in zip(items, ("left", "similar", "right"), strict=False)
    ]
    head = {"sheet_sha256": sheet.sha256, "alias": "blue-heron", "consent": True, "started": "2024-01-31T12:00:00Z"}
    path.write_bytes(as_json({**head, "finished": None, "ratings": ratings}))

    def load() -> tuple[Any, ...]:
        found = load_rating(path, sheet)
        return found.alias, found.choices, found.complete

    def read(content: bytes) -> tuple[Any, ...]:
        found = json.loads(content.decode())
        assert {*found} == {*head, "finished", "ratings"}
        assert found["consent"] is True
        assert found["sheet_sha256"] == sheet.sha256
        choices = {entry["item"]: entry["choice"] for entry in found["ratings"]}
        assert {*choices} <= {*items}
        assert {*choices.values()} <= {"left", "similar", "right"}
        assert len(choices) == len(found["ratings"])
        assert (found["finished"] is not None) == (len(choices) == len(items))
        return found["alias"], choices, len(choices) == len(items)

    mutate = damage(path.read_bytes(), json.loads)
    count("ratings", fuzz(path, mutate, load, read, 1100, 1))


# --- what this project writes itself -------------------------------------------------------------------------------


def test_caches(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    cache = ItemCache(path)
    cache.add({f"k{i}": {"text": f"answer {i}", "tokens": [i, 7], "score": -0.25 * i, "parse": None} for i in range(5)})
    cache.close()

    def load() -> tuple[Any, ...]:
        cache = ItemCache(path)
        cache.close()
        return {f"k{i}": cache[f"k{i}"] for i in range(9) if f"k{i}" in cache}, len(cache), path.read_bytes()

    def read(content: bytes) -> tuple[Any, ...]:
        found, whole = {}, b""
        for line in content.splitlines(keepends=True):
            try:
                entry = json.loads(line.decode())
                spelled = json.dumps([entry["key"], entry["item"]], sort_keys=True).encode()
                if entry["sha256"] != hashlib.sha256(spelled).hexdigest()[:16] or line[-1:] != b"\n":
                    break
            except (ValueError, KeyError, TypeError):
                break
            found[entry["key"]], whole = entry["item"], whole + line
        return found, len(found), whole

    mutate = damage(path.read_bytes(), json_lines, lambda rows: encoded(rows, "jsonl"))
    count("caches", fuzz(path, mutate, load, read, 1100, 1))


@pytest.fixture
def score(tmp_path: Path) -> Path:
    """The stem of a score's two files, as evaluate_task leaves them."""
    stem = tmp_path / "eval/model/sft/sst2/k0_seed0"
    rows = [{"id": str(i), "generation": f"text {i}", "correct": i % 2 == 0, "correct_strict": False} for i in range(6)]
    write_parquet(stem.with_suffix(".parquet"), rows, tuple(rows[0]))
    digest = hashlib.sha256(stem.with_suffix(".parquet").read_bytes()).hexdigest()
    changed = {"text": 0.25, "generation": 0.0, "likelihood": 0.5}
    precision = {"dtype": "bfloat16", "items": 4, "changed": changed}
    facts = {"n": 6, "correct": 3, "accuracy": 0.5, "unparseable": 0.0, "rows_sha256": digest, "precision": precision}
    write_record(
        stem.with_suffix(".json"), {**facts, "provenance": {"seed": 0, "settings": {"model": "m", "items": None}}}
    )
    return stem


def unchanged(content: bytes) -> dict[str, Any]:
    """A record that is as it was written, or that has lost its hash and nothing else."""
    found = json.loads(content.decode())
    given = found.pop("record_sha256", None)
    spelled = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert given in (None, hashlib.sha256(spelled.encode()).hexdigest())
    return found


def test_scores(score: Path) -> None:
    record, answers = score.with_suffix(".json"), score.with_suffix(".parquet")
    whole = unchanged(record.read_bytes())

    def load() -> tuple[Any, ...]:
        cell = load_cell(score.parent, 0, [0])
        assert cell is not None
        return cell.ids, cell.correct.tolist(), list(cell.precision_checks)

    def read_record(content: bytes) -> tuple[Any, ...]:
        found = unchanged(content)
        assert {key: value for key, value in found.items() if key in whole} == whole
        return tuple("012345"), [[True, False] * 3], [found["precision"]]

    def read_answers(content: bytes) -> tuple[Any, ...]:
        assert hashlib.sha256(content).hexdigest() == whole["rows_sha256"]
        return read_record(record.read_bytes())

    runs = [fuzz(record, damage(record.read_bytes(), json.loads), load, read_record, 600, 1)]
    mutate = damage(answers.read_bytes(), parquet_rows, lambda rows: encoded(rows, "parquet"))
    runs.append(fuzz(answers, mutate, load, read_answers, 600, 2))
    count("scores", *runs)


def test_run_records(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    training = {"epochs": 1, "learning_rate": 1e-3, "betas": [0.9, 0.999], "schedule": "cosine"}
    facts = {"weights_sha256": "0" * 64, "steps": 9, "engine": "torch", "tokens_seen": {"total": 90, "target": 70}}
    write_record(path, {**facts, "provenance": {"rule": "train_sft", "settings": {"training": training}}})

    def load() -> dict[str, Any]:
        return {key: value for key, value in read_json(path).items() if key != "record_sha256"}

    count("run records", fuzz(path, damage(path.read_bytes(), json.loads), load, unchanged, 1100, 1))


# --- hardware ------------------------------------------------------------------------------------------------------


def positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 1e12


def test_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = libyaml((ROOT / "resources/hardware/assumptions.yaml").read_bytes())
    path, gpus = tmp_path / "assumptions.yaml", tmp_path / "gpus.yaml"
    path.write_bytes(as_yaml({name: stated[name] for name in list(stated)[:6]}))
    gpus.write_bytes((ROOT / "resources/hardware/gpus.yaml").read_bytes())

    def read_assumptions(content: bytes) -> dict[str, Any]:
        found = {**stated}
        for name, entry in libyaml(content).items():
            found[name] = {**found[name], **(entry if isinstance(entry, dict) else {"value": entry})}
        for entry in found.values():
            assert {*entry} == {"value", "unit", "source"}
            assert positive(entry["value"])
            assert isinstance(entry["unit"], str)
            assert isinstance(entry["source"], str)
        return found

    def load_all() -> dict[str, Any]:
        return {name: vars(entry) for name, entry in load_assumptions(path).items()}

    runs = [fuzz(path, damage(path.read_bytes(), libyaml, as_yaml), load_all, read_assumptions, 600, 1)]

    def read_gpu(content: bytes) -> dict[str, Any]:
        found = libyaml(content)["a100-40gb"]
        assert all(positive(found[key]) for key in ("memory_gb", "bf16_tflops", "memory_gb_s", "pcie_gb_s"))
        assert found["nvlink_gb_s"] is None or positive(found["nvlink_gb_s"])
        assert isinstance(found["bf16"], bool)
        assert len(found) == 8
        return {"name": "a100-40gb", **found}

    monkeypatch.setattr(hardware, "HARDWARE", tmp_path)
    first = b"\n".join(gpus.read_bytes().split(b"\n")[:24])  # two types are enough
    gpus.write_bytes(first)
    mutate = damage(first, libyaml, as_yaml)
    runs.append(fuzz(gpus, mutate, lambda: vars(load_gpu("a100-40gb")), read_gpu, 600, 2))
    count("hardware", *runs)


# --- files made to hurt --------------------------------------------------------------------------------------------


HURTFUL = {
    "an alias bomb": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b", ".join([b"*%c" % n] * 9)) for n in range(97, 106)),
    "a list that holds itself": b"preset: &a [*a]\n",
    "a mapping that holds itself": b"preset: &a {models: *a}\n",
    "deep nesting": b"preset: " + b"[" * 5000,
    "nesting that ends": b"preset: " + b"[" * 400 + b"]" * 400,
    "a tag that would run code": b"preset: !!python/object/apply:os.getcwd []\n",
    "a date": b"preset: 2024-01-31\n",
    "a set": b"preset: !!set {a, b}\n",
    "bytes": b"preset: !!binary aGVsbG8=\n",
    "a key that is a list": b"? [a]\n: b\n",
    "a key that is null": b"null: b\n",
}


@pytest.mark.parametrize("name", HURTFUL)
def test_yaml_that_is_made_to_hurt_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hurtful.yaml"
    path.write_bytes(HURTFUL[name])
    base = ROOT / "config.yaml"
    for load in (lambda: load_configuration(base, [path], {}), lambda: load_task(path), lambda: load_assumptions(path)):
        with time_limit(), pytest.raises(UserError, match="hurtful"):
            load()


def test_json_that_is_made_to_hurt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hurtful.json"
    for content in (b"[" * 200_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]"):
        path.write_bytes(content)
        with time_limit(), pytest.raises(UserError, match="hurtful"):
            read_json(path)


def test_all_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs last in this file; alone it has nothing to count."""
    if len(COUNTS) < 12:
        pytest.skip("only some of the loaders were tried")
    done = sum(counts["accepted"] + counts["refused"] for counts in COUNTS.values())
    with capsys.disabled():
        print(f"\n{done} mutations with an effect over {len(COUNTS)} loaders:")
        for loader, counts in COUNTS.items():
            print(f"  {loader}: {counts['accepted']} accepted, {counts['refused']} refused")
    assert done >= ALL
