"""Scoring from files to tables: the paper's pair alone, several pairs, cells, what is not counted."""

import csv
import json
import re
from pathlib import Path

import pytest

import collect_cells
import score_human_eval
from common.base.paths import ROOT
from common.files.whole_files import read_json, sha256_of_file, write_json
from common.human_eval.sheet import Pair, load_sheet
from score_human_eval import published_counts
from support.rating_sheets import ARMS, STAGES, choices_for, exported, sheet_of, write_sheet, written

PUBLISHED, KOREAN = ROOT / "resources/paper/human_evaluation.yaml", ROOT / "resources/report/ko.yaml"
COUNTS = ("first_better", "similar", "second_better")
OTHER = Pair("n", "pretrained", "ppo")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Folder of a sheet of the paper's pair alone."""
    return write_sheet(tmp_path / "human_eval", sheet_of(4))[0].parent


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Folder of a sheet of several pairs."""
    return write_sheet(tmp_path / "human_eval", sheet_of(4, STAGES, ARMS, OTHER))[0].parent


def score(built: Path, *ratings: Path, words: Path | None = None) -> int:
    folder = built.parent
    options = {"items": built / "items.json", "key": built / "key.json", "summary": built / "summary.json"}
    command = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command += ["--published", str(PUBLISHED), "--tables", str(folder / "tables"), "--ratings", *map(str, ratings)]
    command += ["--words", str(words)] if words else []
    settings = {"actor": "m", "labels": {"m": "Model M", "n": "Model N"}}
    return score_human_eval.main(["--settings", json.dumps(settings), *command])


def rating_files(built: Path, *raters: list[str]) -> list[Path]:
    sheet = load_sheet(built / "items.json", built / "key.json")
    return [
        written(built, exported(sheet, choices_for(sheet, told), f"rater{i}"), f"rating{i}.json")
        for i, told in enumerate(raters)
    ]


def lines_of(built: Path, name: str) -> list[dict[str, str]]:
    with open(built.parent / "tables" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table_lines(built: Path) -> dict[str, dict[str, str]]:
    """The table's lines by rater."""
    return {line["rated_by"]: line for line in lines_of(built, "human_eval.csv")}


def cell_lines(built: Path, name: str = "human_eval_cells.csv") -> dict[str, dict[str, str]]:
    return {line["cell"]: line for line in lines_of(built, name)}


def told_of(sheet_folder: Path, **told: list[str]) -> list[str]:
    """What a rater says item by item, given by the name of each pair's second method in the sheet's order."""
    sheet = load_sheet(sheet_folder / "items.json", sheet_folder / "key.json")
    left = {name: iter(verdicts) for name, verdicts in told.items()}
    seconds = {pair.name: f"{pair.model}_{pair.second}" for pair in sheet.pairs}
    return [next(left[seconds[sheet.sides[item["item"]]["pair"]]]) for item in sheet.items]


PAPER_LINE = {
    "model": "OPT-6.7B", "first": "rl_sft", "second": "ppo", "rated_by": "paper", "n": "10", "first_better": "1",
    "similar": "6", "second_better": "3", "decided": "4", "second_share": "0.750000",
    "share_low": "0.300642", "share_high": "0.954413", "p_value": "0.625000",
}  # fmt: skip


def test_the_published_counts_are_read_by_method() -> None:
    assert published_counts(PUBLISHED) == {"first": 1, "similar": 6, "second": 3}


def test_without_ratings_every_rendering_says_not_rated(built: Path) -> None:
    assert score(built) == 0
    summary = read_json(built / "summary.json")
    assert summary["raters"] == []
    (found,) = summary["pairs"]
    assert found["raters"] == found["by_prompt"] == {}
    assert found["pooled"] is found["all_ratings"] is None
    for kind in ("csv", "md", "tex", "html"):
        assert "not rated" in (built.parent / f"tables/human_eval.{kind}").read_text(encoding="utf-8")
    lines = table_lines(built)
    assert lines["paper"] == PAPER_LINE
    assert lines["pooled"]["n"] == "0"
    assert {lines["pooled"][column] for column in COUNTS} == {"not rated"}
    assert {lines["pooled"][key] for key in ("decided", "second_share", "p_value")} == {""}
    cells = cell_lines(built)
    assert {name for name, cell in cells.items() if cell["value"] == "not rated"} == {
        f"human_eval/pooled/{column}" for column in ("stage1", "similar", "stage3")
    }
    assert "needs two raters" in (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")


def test_one_rater_stands_beside_the_paper(built: Path) -> None:
    (path,) = rating_files(built, ["second", "second", "similar", "first"])
    assert score(built, path) == 0
    lines = table_lines(built)
    assert set(lines) == {"paper", "rater-rater0", "pooled"}
    counted = {"n": "4", "first_better": "1", "similar": "1", "second_better": "2", "decided": "3"}
    for name in ("rater-rater0", "pooled"):
        assert {key: lines[name][key] for key in counted} == counted
        assert [lines[name][key] for key in ("second_share", "p_value")] == ["0.666667", "1.000000"]
    markdown = (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")
    assert "needs two raters" in markdown
    assert "| Paper, one rater | 10  | 1                | 6         | 3                |" in markdown
    assert "Majority" not in markdown
    record = read_json(built / "summary.json")["provenance"]
    assert record["inputs"][str(path)] == sha256_of_file(path)


def test_three_raters_are_pooled_by_prompt(built: Path) -> None:
    paths = rating_files(
        built,
        ["second", "second", "similar", "first"],
        ["second", "similar", "similar", "first"],
        ["second", "second", "first", "first"],
    )
    assert score(built, *paths) == 0
    lines = table_lines(built)
    assert [lines["all-ratings"][key] for key in ("n", *COUNTS)] == ["12", "4", "3", "5"]
    assert [lines["all-ratings"][key] for key in ("decided", "share_low", "p_value")] == [""] * 3
    assert [lines["pooled"][key] for key in ("n", *COUNTS)] == ["4", "1", "1", "2"]
    markdown = (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")
    assert "Majority by prompt" in markdown
    assert "Of the pairs of ratings by 3 raters, 67 % agree; Fleiss' kappa 0.49" in markdown


def test_cells_are_named_once_and_collected(built: Path) -> None:
    score(built, *rating_files(built, ["second"] * 4, ["similar"] * 4))
    tables = built.parent / "tables"
    cells = ["--cells", str(tables / "human_eval_cells.csv"), "--output", str(tables / "cells.csv")]
    assert collect_cells.main(["--settings", "{}", *cells]) == 0
    lines = cell_lines(built, "cells.csv")
    assert lines["human_eval/rater-rater0/stage3"]["value"] == "4"
    share = lines["human_eval/rater-rater0/stage3_share"]
    assert [share[key] for key in ("value", "stderr", "n")] == ["100.0000", "0.0000", "4"]
    assert share["source"] == "human_eval/summary.json;samples/m/rl_sft.*;samples/m/ppo.*"
    assert "human_eval/rater-rater1/stage3_share" not in lines
    assert lines["human_eval/paper/stage3"]["source"] == "resources/paper/human_evaluation.yaml"
    assert all(name == f"{cell['table']}/{cell['row']}/{cell['column']}" for name, cell in lines.items())


def test_several_pairs_have_their_own_rows(several: Path) -> None:
    told = told_of(several, m_coh=["second"] * 4, m_ppo=["first"] * 3 + ["similar"], n_ppo=["similar"] * 4)
    assert score(several, *rating_files(several, told, told)) == 0
    lines = lines_of(several, "human_eval.csv")
    assert lines[0] == PAPER_LINE
    by_pair = ("rater-rater0", "rater-rater1", "all-ratings", "pooled")
    assert [[line[key] for key in ("model", "first", "second", "rated_by")] for line in lines[1:]] == [
        [*pair, rated_by]
        for pair in (("m", "rl_sft", "ppo"), ("m", "sft", "coh"), ("n", "pretrained", "ppo"))
        for rated_by in by_pair
    ]
    pooled = [[line[key] for key in ("n", *COUNTS)] for line in lines if line["rated_by"] == "pooled"]
    assert pooled == [["4", "3", "1", "0"], ["4", "0", "0", "4"], ["4", "0", "4", "0"]]
    markdown = (several.parent / "tables/human_eval.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    assert rows[0][:4] == ["Model", "First", "Second", "Rated by"]
    assert [row[:4] for row in rows[2:] if row[3] in ("Paper, one rater", "Majority by prompt")] == [
        ["OPT-6.7B", "Stage 1 (SFT)", "Stage 3 (RL)", "Paper, one rater"],
        ["Model M", "Stage 1 (SFT)", "Stage 3 (RL)", "Majority by prompt"],
        ["Model M", "SFT", "CoH", "Majority by prompt"],
        ["Model N", "Pretrained", "Stage 3 (RL)", "Majority by prompt"],
    ]
    assert "Model M, SFT and CoH: Of the pairs of ratings by 2 raters, 100 % agree; Fleiss' kappa undefined" in markdown


def test_cells_of_several_pairs_are_named_by_model_and_methods_but_for_the_papers(several: Path) -> None:
    told = told_of(several, m_coh=["second"] * 4, m_ppo=["first"] * 3 + ["similar"], n_ppo=["similar"] * 4)
    assert score(several, *rating_files(several, told)) == 0
    cells = cell_lines(several)
    values = {name: cell["value"] for name, cell in cells.items() if "/pooled/" in name}
    assert values == {
        "human_eval/pooled/stage1": "3", "human_eval/pooled/similar": "1", "human_eval/pooled/stage3": "0",
        "human_eval/pooled/stage3_share": "0.0000",
        "human_eval/m/sft-coh/pooled/sft": "0", "human_eval/m/sft-coh/pooled/similar": "0",
        "human_eval/m/sft-coh/pooled/coh": "4", "human_eval/m/sft-coh/pooled/coh_share": "100.0000",
        "human_eval/n/pretrained-ppo/pooled/pretrained": "0", "human_eval/n/pretrained-ppo/pooled/similar": "4",
        "human_eval/n/pretrained-ppo/pooled/ppo": "0",
    }  # fmt: skip
    assert cells["human_eval/m/sft-coh/pooled/coh"]["source"].endswith(";samples/m/sft.*;samples/m/coh.*")
    table = read_json(several.parent / "tables/human_eval.json")
    shown = {cell["cell"]: cell["text"] for row in table["rows"] for cell in row if cell["cell"]}
    assert len(shown) == 3 * 4
    assert shown == {name: cells[name]["value"] for name in shown}


def test_the_paper_is_shown_even_if_its_pair_is_not_compared(tmp_path: Path) -> None:
    folder = write_sheet(tmp_path / "human_eval", sheet_of(3, ARMS))[0].parent
    assert score(folder) == 0
    assert [line["model"] for line in lines_of(folder, "human_eval.csv")] == ["OPT-6.7B", "m"]
    assert {name for name in cell_lines(folder) if "/pooled/" in name} == {
        f"human_eval/m/sft-coh/pooled/{column}" for column in ("sft", "similar", "coh")
    }


def test_every_text_of_the_table_is_there_in_korean(several: Path) -> None:
    told = told_of(several, m_coh=["second"] * 4, m_ppo=["first"] * 3 + ["similar"], n_ppo=["similar"] * 4)
    first, second = rating_files(several, told, told)
    unfinished = written(several, exported(load_sheet(several / "items.json", several / "key.json"), ["left"], "x"))
    for ratings in ([], [first], [first, second, unfinished]):
        assert score(several, *ratings, words=KOREAN) == 0
        table = read_json(several.parent / "tables/human_eval.json")
        data = {"n", "SFT", "CoH", "Model M", "Model N", "OPT-6.7B", "\u2013"}
        words = [*table["header"], table["caption"], *table["notes"]]
        words += [row[place]["text"] for row in table["rows"] for place in (1, 2, 3)]
        assert [text for text in words if text not in data and not re.search("[\uac00-\ud7a3]", text)] == []


def test_incomplete_rating_is_named_and_not_counted(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sheet = load_sheet(built / "items.json", built / "key.json")
    path = written(built, exported(sheet, ["left", "right"]))
    assert score(built, path) == 0
    assert f"not counted, incomplete: {path} (2 of 4 rated)" in capfd.readouterr().err
    assert read_json(built / "summary.json")["raters"] == []
    assert "2 of 4 prompts rated" in (built.parent / "tables/human_eval.html").read_text(encoding="utf-8")


def test_bad_rating_ends_scoring_before_anything_is_written(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = rating_files(built, ["second"] * 4, ["first"] * 4)
    write_json(bad, {**read_json(bad), "consent": False})
    assert score(built, good, bad) == 2
    error = capfd.readouterr().err
    assert f"{bad}, key `consent`" in error
    assert "Traceback" not in error
    assert not (built / "summary.json").exists()
    assert not (built.parent / "tables").exists()


def test_scoring_leaves_the_ratings_as_they_are(built: Path) -> None:
    paths = rating_files(built, ["second"] * 4, ["first"] * 4)
    before = [path.read_bytes() for path in paths]
    score(built, *paths)
    assert [path.read_bytes() for path in paths] == before
