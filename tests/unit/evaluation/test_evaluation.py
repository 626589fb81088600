"""One checkpoint asked one task: what a score says of its precision, and what kept answers may be used for."""

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import evaluate_task
from common.data.questions import Question
from common.evaluation.draws import changed_answers
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import canonical_json, write_json
from common.models.loading import weights_hash
from common.models.ways import CONFIG_KEY, GENERATE, PLAIN, SHARED_PREFIX
from common.tables.accuracy_table import precision_note
from common.tables.scores import load_cell

WORDS = ["apple", "river", "stone", "music", "quiet", "garden", "winter", "seven", "doctor", "yellow"]
SETTINGS = {
    "model": "tiny", "method": "sft", "task": "words", "seed": 5, "marker": "Response:", "device": "cpu", "items": None,
    "examples": "shared", "extra_tokens": 6, "batch_tokens": 2000, "dtype": "auto", "precision_check_items": 7,
}  # fmt: skip
VERDICTS = ("correct", "correct_strict", "correct_likelihood")
RUNS = ("k0_seed0", "k2_seed1", "k2_seed2")


def question(i: int) -> Question:
    answers = ["Yes", "No", "It is quite impossible to say so" if i == 23 else "Never"]
    return Question(f"q{i}", f"{' '.join(WORDS[i % 10 :])} {i}?\n", answers, [[answer] for answer in answers], i % 3)


@pytest.fixture
def place(model_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with a model and a task, as the rules before evaluation leave them."""
    shutil.copytree(model_folders["llama"], tmp_path / "model")
    write_json(tmp_path / "model/run.json", {"weights_sha256": weights_hash(tmp_path / "model")})
    for part, numbers in (("train", range(30, 36)), ("eval", range(24))):
        rows = [question(i).row() for i in numbers]
        write_parquet(tmp_path / f"data/tasks/words/{part}.parquet", rows, tuple(rows[0]))
    return tmp_path


def evaluate(
    place: Path, output: str, scratch: str = "scratch", draws: Sequence[str] = ("0:0", "2:1", "2:2"), **settings: Any
) -> Path:
    """Run the job; returns the folder of its scores."""
    task = settings.get("task", SETTINGS["task"])
    folder = place / output / "tiny/sft" / task
    options = {"--model": place / "model", "--task": place / "data/tasks" / task, "--scratch": place / scratch}
    arguments = [str(part) for option in {**options, "--output": folder}.items() for part in option]
    arguments += ["--draws", *draws]
    assert evaluate_task.main(["--settings", canonical_json({**SETTINGS, **settings}), *arguments]) == 0
    return folder


def score(folder: Path, run: str = "k2_seed1") -> dict[str, Any]:
    return json.loads((folder / f"{run}.json").read_text(encoding="utf-8"))


def answers(folder: Path, run: str = "k2_seed1") -> list[dict[str, Any]]:
    return read_parquet(folder / f"{run}.parquet")


def differing_texts(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> int:
    return sum(one["generation"] != other["generation"] for one, other in zip(rows, others, strict=True))


def test_two_tasks_of_one_job_are_answered_as_each_alone(place: Path) -> None:
    shutil.copytree(place / "data/tasks/words", place / "data/tasks/others")
    alone = {name: evaluate(place, "alone", scratch=f"scratch_{name}", task=name) for name in ("words", "others")}
    together = {name: place / "together" / name for name in alone}
    options = {"--model": [place / "model"], "--task": [place / "data/tasks" / name for name in alone],
               "--scratch": [place / "scratch"], "--output": list(together.values())}  # fmt: skip
    arguments = [str(part) for option, paths in options.items() for part in (option, *paths)]
    assert evaluate_task.main(["--settings", canonical_json(SETTINGS), *arguments, "--draws", "0:0", "2:1"]) == 0
    for name, run in itertools.product(alone, ("k0_seed0", "k2_seed1")):
        assert answers(together[name], run) == answers(alone[name], run)
        assert score(together[name], run)["provenance"]["settings"]["task"] == name
    first, second = (answers(together[name], "k2_seed1") for name in alone)
    assert [row["prompt_hash"] for row in first] != [
        row["prompt_hash"] for row in second
    ]  # examples are drawn per task


def test_float32_answers_need_no_check(place: Path) -> None:
    record = score(evaluate(place, "eval"))
    assert record["precision"] is None
    assert record["provenance"]["dtype"] == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("way", [GENERATE, PLAIN])
def test_a_model_that_is_asked_otherwise_gives_the_same_answers_and_says_so(place: Path, way: str) -> None:
    fast = evaluate(place, "fast")
    assert score(fast)["asked"] == SHARED_PREFIX
    config = place / "model/config.json"
    write_json(config, {**json.loads(config.read_text(encoding="utf-8")), CONFIG_KEY: way})
    slow = evaluate(place, "slow", scratch="scratch")
    assert score(slow)["asked"] == way
    for run in RUNS:
        for one, other in zip(answers(fast, run), answers(slow, run), strict=True):
            assert one["answer_logprobs"] == pytest.approx(other["answer_logprobs"], abs=1e-4)
            if one["margin"] > 1e-3:
                assert one["generation"] == other["generation"]


@pytest.mark.slow
def test_lower_precision_is_checked_against_float32(place: Path) -> None:
    low = evaluate(place, "eval", dtype="bfloat16")
    full = evaluate(place, "full", scratch="other", dtype="float32")
    for run in RUNS:
        record = score(low, run)
        assert record["provenance"]["dtype"] == record["precision"]["dtype"] == "bfloat16"
        assert record["precision"]["items"] == 7
        changed = record["precision"]["changed"]
        assert set(changed) == {"text", "generation", "strict", "likelihood"}
        assert all(share * 7 == pytest.approx(round(share * 7)) for share in changed.values())
    whole = [differing_texts(answers(low, run), answers(full, run)) for run in RUNS]
    everything = evaluate(place, "all", dtype="bfloat16", precision_check_items=100)
    shares = [score(everything, run)["precision"]["changed"]["text"] for run in RUNS]
    assert shares == [count / 24 for count in whole]
    assert sum(whole) > 0


@pytest.mark.slow
def test_check_changes_no_score_and_can_be_left_out(place: Path) -> None:
    checked = evaluate(place, "eval", dtype="bfloat16")
    plain = evaluate(place, "plain", scratch="other", dtype="bfloat16", precision_check_items=0)
    assert score(plain)["precision"] is None
    assert answers(plain) == answers(checked)
    different = {key for key in score(plain) if score(plain)[key] != score(checked)[key]}
    assert different == {"precision", "provenance", "record_sha256"}


@pytest.mark.slow
def test_precisions_never_share_answers(place: Path) -> None:
    evaluate(place, "eval", dtype="bfloat16")
    resumed, fresh = evaluate(place, "resumed"), evaluate(place, "fresh", scratch="other")
    for run in RUNS:
        assert differing_texts(answers(resumed, run), answers(fresh, run)) == 0
        for one, other in zip(answers(resumed, run), answers(fresh, run), strict=True):
            assert one["answer_logprobs"] == pytest.approx(other["answer_logprobs"], abs=1e-4)


def test_answers_kept_from_fewer_items_are_those_of_all_items(place: Path) -> None:
    evaluate(place, "few", items=5)
    grown, fresh = evaluate(place, "grown"), evaluate(place, "fresh", scratch="other")
    for run in RUNS:
        assert differing_texts(answers(grown, run), answers(fresh, run)) == 0


def test_kept_answers_are_used(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = evaluate(place, "eval")
    again = evaluate(place, "again")
    assert "72 items were answered before and are kept" in capsys.readouterr().err
    assert answers(again) == answers(first)


def test_only_kept_answers_that_are_asked_for_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(place, "eval")
    evaluate(place, "one", draws=["0:0"])
    assert "24 items were answered before and are kept" in capsys.readouterr().err


def test_changed_answers_are_counted_by_item() -> None:
    def row(name: str, text: str, *correct: bool) -> dict[str, Any]:
        return {"id": name, "generation": text, **dict(zip(VERDICTS, correct, strict=True))}

    rows = [row("a", "Yes", True, True, True), row("b", "No", False, False, True), row("c", "x", False, False, False)]
    repeated = [row("c", "Yes", True, False, False), row("a", "Yes.", True, True, False)]
    changed = {"text": 1.0, "generation": 0.5, "strict": 0.0, "likelihood": 0.5}
    assert changed_answers(rows, repeated) == {"items": 2, "changed": changed}


def test_tables_say_how_much_precision_changes(place: Path) -> None:
    low = evaluate(place, "eval", dtype="bfloat16")
    cell = load_cell(low, 2, [1, 2])
    shares = [score(low, f"k2_seed{seed}")["precision"]["changed"]["text"] for seed in (1, 2)]
    note = precision_note([cell, None])
    assert note is not None
    assert note.startswith("Answered in bfloat16; of 14 answers repeated in float32, ")
    assert f"{50 * sum(shares):.1f} % of the texts" in note
    assert precision_note([load_cell(evaluate(place, "full/eval"), 0, [0])]) is None
