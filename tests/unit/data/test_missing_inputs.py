"""Markers for "no input" are taken as none, counted and matched to their responses; real inputs stay."""

import json
from pathlib import Path

import pytest

import prepare_instructions
from common.data.instructions import load_instructions, prompt_id
from common.data.missing_inputs import says_no_input

MARKERS = """
<noinput> | <NoInput> | <no input> | &lt;noinput&gt; | <noinput/> | NOINPUT | no_input | No-Input.
(no input) | [No Input]
No input | No input required. | No input provided | no input is needed for this task | No additional input needed
No further context provided. | There is no input. | Input: none | Input not required | "No input" | **No input**
This task does not require any input. | This instruction doesn’t need an input
None | none. | <none> | None provided | N/A | n/a | N.A. | #N/A | <NA> | NA | NaN | null | NULL | (null) | Nil
Not applicable | Not Applicable. | not needed | - | -- | — | ... | … | (empty) | <blank>
Ｎｏ ｉｎｐｕｔ | \u200b<noinput>
없음 | 입력 없음 | 입력값 없음. | 해당 없음 | なし | 入力なし | 无 | 没有输入 | 不适用
keine Eingabe | aucune entrée | sin entrada
"""
INPUTS = """
Na | Nan | no | nothing | empty | blank | No one came.
None of these fit | none, one, two | Null hypothesis | Nile
The input is a list. | input voltage | No inputs were harmed in making this | Not applicable laws | context | 0 | 1 | ?
[] | {} | '' | / | <br> | ... --- ... | \U0001f600 | 無料 | 없어요 그런 것
N/A, 3, 7 | a - b
"""
PLAIN = "Below is an instruction that describes a task. Write a response.\n\n### Instruction:\n{}\n\n### Response:"
PAIRED = (
    "Below is an instruction that describes a task, paired with an input that provides further context.\n\n"
    "### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:"
)
RESPONSES = [{"response": "good", "source": "a", "score": 9}, {"response": "bad", "source": "b", "score": 2}]


def each(texts: str) -> list[str]:
    return [text.strip(" ") for line in texts.strip().splitlines() for text in line.split(" | ")]


@pytest.mark.parametrize("text", each(MARKERS))
def test_markers_say_that_there_is_no_input(text: str) -> None:
    assert says_no_input(text)
    assert says_no_input(f" {text}\n")


@pytest.mark.parametrize("text", each(INPUTS))
def test_real_inputs_say_something(text: str) -> None:
    assert not says_no_input(text)


def files(folder: Path, references: list[object], prompts: list[str]) -> tuple[Path, Path]:
    paths = folder / "references.json", folder / "comparisons.json"
    paths[0].write_text(json.dumps(references), encoding="utf-8")
    comparisons = [{"user_input": prompt, "responses_and_scores": RESPONSES} for prompt in prompts]
    paths[1].write_text(json.dumps(comparisons), encoding="utf-8")
    return paths


def test_prompts_meet_their_responses_whichever_file_has_the_marker(tmp_path: Path) -> None:
    inputs = {"One": "<noinput>", "Two": "", "Three": "N/A", "Four": None, "Five": "5", "Six": float("nan")}
    references = [{"instruction": name, "input": given, "output": "x"} for name, given in inputs.items()]
    prompts = [PLAIN.format("One"), PAIRED.format("Two", "No input"), PAIRED.format("Three", "none"),
               PLAIN.format("Four"), PAIRED.format("Five", "5"), PAIRED.format("Six", "NaN")]  # fmt: skip
    loaded = load_instructions(*files(tmp_path, references, prompts), 0.0)
    assert [(row["input"], len(row["responses"])) for row in loaded.rows] == [("", 2)] * 4 + [("5", 2), ("", 2)]
    assert [row["id"] for row in loaded.rows] == [prompt_id(name, "5" * (name == "Five")) for name in inputs]
    assert loaded.counts["references"]["no_input"] == {"<noinput>": 1, "N/A": 1, "null": 2}
    assert loaded.counts["comparisons"]["no_input"] == {"No input": 1, "none": 1, "NaN": 1}
    assert loaded.counts["comparisons"]["without_reference"] == 0


def test_one_prompt_with_and_without_a_marker_is_one_prompt(tmp_path: Path) -> None:
    references = [{"instruction": "One", "input": given, "output": given or "none"} for given in ("", "<noinput>")]
    loaded = load_instructions(*files(tmp_path, references, [PLAIN.format("One")]), 0.0)
    assert [row["reference"] for row in loaded.rows] == ["none"]
    assert loaded.counts["references"]["repeated"] == 1


def test_the_script_tells_the_markers_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = [{"instruction": name, "input": "N/A", "output": "x"} for name in ("One", "Two")]
    first, second = files(tmp_path, references, [])
    arguments = ["--settings", '{"max_rejected_share": 0}', "--references", str(first), "--comparisons", str(second)]
    outputs = ["--output", str(tmp_path / "rows.parquet"), "--summary", str(tmp_path / "summary.json")]
    assert prepare_instructions.main([*arguments, *outputs]) == 0
    assert "only say that there is none were taken as none: 'N/A' 2" in capsys.readouterr().err
