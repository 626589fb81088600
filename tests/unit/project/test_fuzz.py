"""Every loader against damaged files: read as an independent parser reads them, or refused by name; nothing else."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml

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
from support.independent_readings import (
    Laid,
    as_yaml,
    comparison,
    csv_rows,
    encoded,
    json_lines,
    lay,
    libyaml,
    parquet_rows,
    question,
    reference,
    usable,
    whole_list,
)
from support.mutations import as_json, damaged_bytes, damaged_value, fuzz
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


# --- configuration ---------------------------------------------------------------------------------------------------


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
