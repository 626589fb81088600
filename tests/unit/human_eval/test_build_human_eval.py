"""The rating page built from sampled responses: what it shows, and which samples are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

import build_human_eval
from common.base.paths import ROOT
from common.files.parquet import write_parquet
from common.files.whole_files import read_json, sha256_of_file
from common.human_eval.sheet import Pair, load_sheet, render_page
from support.samples import NOT_DRAWN

PAGE = ROOT / "resources/human_eval"

Rows = list[dict[str, Any]]


def sampled_rows(stage: str, heldout: int = 8) -> Rows:
    sources = ["paper", "paper", *["heldout"] * heldout]
    return [
        {"id": f"p{i}", "source": source, "instruction": f"Do {i}", "input": "", "prompt": f"Do {i}\nResponse:",
         "response": f"{stage} says {i}", "tokens": 3, "finish": "eos", "reward": 0.5, **NOT_DRAWN}
        for i, source in enumerate(sources)
    ]  # fmt: skip


def save(folder: Path, **samples: Rows) -> list[Path]:
    """Files of sampled responses by method."""
    for method, rows in samples.items():
        write_parquet(folder / f"m/{method}.parquet", rows, [*rows[0]] if rows else ["id"])
    return [folder / f"m/{method}.parquet" for method in samples]


def build(folder: Path, samples: list[Path], *pairs: Pair, examples: int = 4) -> int:
    page = {"template": PAGE / "sheet.html", "style": PAGE / "sheet.css", "script": PAGE / "sheet.js"}
    options = [text for name, path in page.items() for text in (f"--{name}", str(path))]
    asked = {"seed": 5, "examples": examples, "pairs": [vars(pair) for pair in pairs or [Pair("m", "rl_sft", "ppo")]]}
    options += ["--samples", *map(str, samples), "--output", str(folder / "human_eval")]
    return build_human_eval.main(["--settings", json.dumps(asked), *options])


def texts() -> list[str]:
    return [(PAGE / f"sheet.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")]


def test_build_writes_page_items_and_key_of_one_sheet(tmp_path: Path) -> None:
    answers = {method: sampled_rows(method) for method in ("rl_sft", "ppo", "sft", "coh")}
    for rows in (answers["coh"], answers["sft"]):
        rows[:] = [{**row, "prompt": f"Do {i}\nbetter response:"} for i, row in enumerate(rows)]  # markers differ
    pairs = [Pair("m", "rl_sft", "ppo"), Pair("m", "coh", "ppo"), Pair("m", "sft", "rl_sft")]
    samples = save(tmp_path, **answers)
    assert build(tmp_path, samples, *pairs) == 0
    output = tmp_path / "human_eval"
    sheet = load_sheet(output / "items.json", output / "key.json")
    assert sheet.pairs == tuple(pairs)
    assert (output / "sheet.html").read_text(encoding="utf-8") == render_page(*texts(), sheet)
    assert len(sheet.items) == 12
    for item in sheet.items:
        side = sheet.sides[item["item"]]
        number = side["prompt"].removeprefix("p")
        assert int(number) >= 2, "a prompt of the paper is shown"
        for place in ("left", "right"):
            assert item[place] == f"{side[place]} says {number}"
    record = read_json(output / "key.json")["provenance"]
    assert record["inputs"] == {f"m/{path.stem}": sha256_of_file(path) for path in samples}
    assert not {"sides", "pairs"} & read_json(output / "items.json").keys()


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(tmp_path / name, save(tmp_path / name, rl_sft=sampled_rows("A"), ppo=sampled_rows("B")))
    first, second = ((tmp_path / name / "human_eval/sheet.html").read_bytes() for name in ("one", "two"))
    assert first == second


def changed(rows: Rows, number: int, **values: Any) -> Rows:
    return [{**row, **values} if i == number else row for i, row in enumerate(rows)]


def without(rows: Rows, column: str) -> Rows:
    return [{key: value for key, value in row.items() if key != column} for row in rows]


A, B = sampled_rows("A"), sampled_rows("B")


@pytest.mark.parametrize(
    ("first", "second", "examples", "told"),
    [
        (A, [], 4, "has no rows"),
        ([], B, 4, "has no rows"),
        (A, B[:-1], 4, "10 responses of the first method face 9 of the second"),
        (A, changed(B, 3, id="other"), 4, "row 4, column id"),
        (A, [B[1], B[0], *B[2:]], 4, "row 1, column id"),
        (A, changed(B, 3, instruction="Do not"), 4, "row 4, column instruction"),
        (A, changed(B, 3, source="paper"), 4, "row 4, column source"),
        (changed(A, 3, id="p2"), B, 4, "the prompt p2 appears twice"),
        (changed(A, 3, response=None), B, 4, "`response` is not a text"),
        (A, [{**row, "response": 7} for row in B], 4, "`response` is not a text"),
        (A, B, 9, "9 prompts asked for, 8 held-out ones found"),
        *((without(A, column), B, 4, f"lack {column}") for column in A[0]),
        *((A, without(B, column), 4, f"lack {column}") for column in A[0]),
    ],
)
def test_unusable_samples_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], first: Rows, second: Rows, examples: int, told: str
) -> None:
    assert build(tmp_path, save(tmp_path, rl_sft=first, ppo=second), examples=examples) == 2
    error = capfd.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert "what to do: " in error
    assert not (tmp_path / "human_eval").exists()


def test_samples_that_are_missing_or_no_parquet_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    second = save(tmp_path, ppo=B)
    first = tmp_path / "m/rl_sft.parquet"
    for told in ("a file is missing", "not a readable parquet file"):
        assert build(tmp_path, [first, *second]) == 2
        error = capfd.readouterr().err
        assert told in error
        assert str(first) in error
        first.write_text("id,response\n")
