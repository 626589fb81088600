"""The published numbers as data: read exactly, refused when damaged, and compared only with the paper's own models."""

import csv
import io
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import compare_tables
from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.settings import comparison_settings
from common.files.csv_files import to_csv
from common.files.whole_files import canonical_json
from common.paper.comparison import compare_accuracies, compare_hyper_parameters, judge
from common.paper.published import PublishedCell, load_published, load_table3
from common.tables.cells import CELL_COLUMNS
from support.amounts import examples

PAPER = ROOT / "resources/paper"
YAML_FILES = ("audit.yaml", "claims.yaml", "human_evaluation.yaml", "table4.yaml")
TOLERANCE = {"tolerance_points": 2.0, "widest_interval_points": 10.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the published numbers that a test may damage."""
    return Path(shutil.copytree(PAPER, tmp_path / "paper"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path.name, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


# --- reading --------------------------------------------------------------------------------------------------


def test_table3_is_the_whole_grid() -> None:
    published = load_published(PAPER)
    assert published.models == ["Llama-7B", "Llama-13B"]
    assert published.tasks == ["SST2", "CSQA", "MNLI", "CoPA"]
    assert published.shots == [0, 1, 3]
    grid = {
        (model, method, task, k)
        for model in published.models
        for method in ("pretrained", "sft", "coh")
        for task in published.tasks
        for k in published.shots
    }
    assert set(published.cells) == grid
    assert len(published.table3) == 72


def test_values_keep_the_digits_they_are_printed_with() -> None:
    cells = load_published(PAPER).cells
    assert cells["Llama-13B", "coh", "CoPA", 1].text == "96.3"
    assert cells["Llama-7B", "coh", "CoPA", 0].text == "89.0"
    assert cells["Llama-7B", "pretrained", "SST2", 0].units(2) == 11


@given(st.decimals(min_value=0, max_value=100, places=2))
def test_units_are_whole_and_give_back_the_value(value: Decimal) -> None:
    cell = PublishedCell("m", "sft", "t", 0, str(value))
    assert Decimal(cell.units(2)) / 100 == value


def test_hyper_parameters_are_those_of_both_tables() -> None:
    values = load_published(PAPER).hyper_parameters
    assert values["table1", "learning_rate", "sft"] == values["table1", "learning_rate", "coh"] == "1e-5"
    assert values["table2", "learning_rate", "ppo"] == "9e-6, 1e-5"
    assert values["table2", "global_batch_size", "reward"] == "16"
    assert ("table2", "gamma", "reward") not in values
    assert len(values) == 2 * 5 + 3 * 4 + 5


# --- refusing -------------------------------------------------------------------------------------------------

BAD_TABLES = {
    "a value that is not a number": ("SST2,0,0.11", "SST2,0,n/a"),
    "a value above 100": ("SST2,0,0.11", "SST2,0,100.5"),
    "a negative value": ("SST2,0,0.11", "SST2,0,-1"),
    "an exponent": ("SST2,0,0.11", "SST2,0,1e1"),
    "not a number": ("SST2,0,0.11", "SST2,0,NaN"),
    "an unknown method": ("Llama-7B,Pretrained,SST2,0", "Llama-7B,DPO,SST2,0"),
    "a k that is not a number": ("Llama-7B,Pretrained,SST2,0", "Llama-7B,Pretrained,SST2,zero"),
    "a cell that appears twice": ("Llama-7B,Pretrained,SST2,1", "Llama-7B,Pretrained,SST2,0"),
    "too few fields": ("SST2,0,0.11", "SST2,0"),
    "another header": ("model,method,task,k,accuracy", "model,method,task,shots,accuracy"),
}


@pytest.mark.parametrize("damage", BAD_TABLES)
def test_a_damaged_table_is_refused(folder: Path, damage: str) -> None:
    edit(folder / "table3.csv", *BAD_TABLES[damage])
    with pytest.raises(UserError) as refused:
        load_published(folder)
    assert "table3.csv" in refused.value.where


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table3.csv"
    path.write_text("model,method,task,k,accuracy\n")
    with pytest.raises(UserError, match="no cell"):
        load_table3(path)


@pytest.mark.parametrize("name", YAML_FILES)
def test_an_unknown_key_is_refused_by_name(folder: Path, name: str) -> None:
    content = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    content["colour"] = "blue"
    (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError, match="colour"):
        load_published(folder)


@pytest.mark.parametrize("name", [*YAML_FILES, "table1.csv", "table2.csv", "table3.csv", "schema.yaml"])
@pytest.mark.parametrize("content", [None, b"", b"[", b"\xff\xfe", b"a,b\n1,2\n"])
def test_a_missing_or_damaged_file_is_an_error_for_people(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError):
        load_published(folder)


DISAGREEMENTS = {
    "three decimals": ("table3.csv", "SST2,0,0.11", "SST2,0,0.115", "more than 2 decimals"),
    "a task without a size": ("table3.csv", "7B,Pretrained,SST2,0", "7B,Pretrained,BoolQ,0", "no task BoolQ"),
    "a k without runs": ("table3.csv", "7B,Pretrained,SST2,0", "7B,Pretrained,SST2,5", "no runs for k = 5"),
    "ratings that do not add up": ("human_evaluation.yaml", "similar: 6", "similar: 7", "do not add up"),
    "a claim about an unknown model": ("claims.yaml", "{models: [Llama-13B]", "{models: [Llama-30B]", "Llama-30B"),
    "a claim about an unknown task": ("claims.yaml", "tasks: [SST2, MNLI]", "tasks: [SST2, RTE]", "RTE"),
    "a claim about an unknown example": ("claims.yaml", "example: combine-words", "example: poem", "poem"),
    "two claims of one name": ("claims.yaml", "id: sft-answers-are-short", "id: rl-is-user-friendly", "appears twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", DISAGREEMENTS)
def test_files_that_disagree_are_refused(folder: Path, case: str) -> None:
    name, old, new, message = DISAGREEMENTS[case]
    edit(folder / name, old, new)
    with pytest.raises(UserError, match=message):
        load_published(folder)


# --- side by side ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "ours", "interval", "expected"),
    [
        ("50.0", 52.0, (51.9, 52.1), "reproduced"),
        ("50.0", 52.1, (52.06, 52.2), "differs"),
        ("50.0", 52.1, (50.004, 54.0), "reproduced"),
        ("50.0", 52.1, (50.04, 54.0), "differs"),  # 50.0 stands for 50.00
        ("50.00", 52.1, (50.04, 54.0), "differs"),
        ("50.00", 53.0, (48.1, 58.0), "reproduced"),
        ("50.00", 53.0, (47.9, 58.0), "undecided"),
        ("50.00", 51.0, (20.0, 80.0), "reproduced"),
        ("96.3", 93.0, (91.0, 95.0), "differs"),
    ],
)
def test_verdict_on_an_accuracy(published: str, ours: float, interval: tuple[float, float], expected: str) -> None:
    assert judge(published, ours, interval, TOLERANCE, 2) == expected


@hypothesis_settings(max_examples=examples(200))
@given(
    st.integers(0, 10000),
    st.floats(0, 100),
    st.tuples(st.floats(0, 30), st.floats(0, 30)),
    st.floats(0, 5),
    st.floats(0, 20),
)
def test_a_looser_tolerance_never_takes_a_reproduction_back(
    units: int, ours: float, sides: tuple[float, float], points: float, widest: float
) -> None:
    published, interval = f"{units / 100:.2f}", (ours - sides[0], ours + sides[1])
    tight = judge(published, ours, interval, {"tolerance_points": points, "widest_interval_points": widest}, 2)
    looser = {"tolerance_points": points + 1, "widest_interval_points": widest + 1}
    loose = judge(published, ours, interval, looser, 2)
    assert loose == "reproduced" or tight != "reproduced"
    assert (tight == "differs") >= (loose == "differs")


def made_settings(marked: bool, **changes: Any) -> dict[str, Any]:
    """Settings of a run with one model and two tasks, marked as the paper's or not."""
    info: dict[str, Any] = {"label": "A model", **({"published": "Llama-7B"} if marked else {})}
    return {
        "models": ["mine"],
        "model_info": {"mine": info},
        "methods": ["pretrained", "sft"],
        "shots": [0],
        "published_tasks": {"sst2": "SST2" if marked else None, "boolq": None},
        "tolerance": TOLERANCE,
        "rl": {"actor": {"name": "actor", "label": "A", "published": "OPT-6.7B" if marked else None},
               "reward": {"name": "scorer", "label": "R", "published": None}},
        **changes,
    }  # fmt: skip


def made_rows(**cells: str) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of table3.csv: each cell with an interval of 3 points on both sides and 872 items."""
    rows: dict[str, str] = {"model": "mine", "method": "pretrained"}
    for name, value in cells.items():
        low, high = (f"{float(value) - 3:.2f}", f"{float(value) + 3:.2f}") if value else ("", "")
        rows |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_n": "872" if value else ""}
    return {("mine", "pretrained"): rows}


def test_a_stand_in_is_never_compared_with_the_paper() -> None:
    compared = compare_accuracies(
        made_settings(False), load_published(PAPER), made_rows(sst2_k0="0.11", boolq_k0="60.00")
    )
    assert [one.verdict for one in compared] == ["not run"] * 72 + ["not comparable"] * 2
    assert {one.difference for one in compared} == {None}
    assert [one.heading for one in compared[72:]] == ["SST2 k=0", "boolq k=0"]


def test_a_marked_model_on_an_unmarked_task_is_not_compared() -> None:
    settings = made_settings(True, published_tasks={"sst2": None})
    compared = compare_accuracies(settings, load_published(PAPER), made_rows(sst2_k0="0.11"))
    assert [one.verdict for one in compared] == ["not run"] * 72 + ["not comparable"]


def test_a_marked_model_on_a_marked_task_is_compared() -> None:
    compared = compare_accuracies(
        made_settings(True), load_published(PAPER), made_rows(sst2_k0="12.50", boolq_k0="60.00")
    )
    by_place = {(one.row, one.column): one for one in compared}
    one = by_place["Llama-7B/pretrained", "SST2/k0"]
    assert (one.verdict, one.difference, one.n) == ("differs", pytest.approx(12.39), "872")
    assert one.source == "eval/mine/pretrained/sst2/k0_seed*"
    assert by_place["mine/pretrained", "boolq/k0"].verdict == "not comparable"
    assert by_place["Llama-7B/sft", "SST2/k0"].verdict == "not run"
    assert ("mine/pretrained", "sst2/k0") not in by_place


def test_a_missing_score_is_not_run_never_zero() -> None:
    compared = compare_accuracies(made_settings(True), load_published(PAPER), made_rows(sst2_k0=""))
    assert {one.verdict for one in compared} == {"not run"}
    assert len(compared) == 72


def test_two_models_marked_as_the_same_are_refused() -> None:
    info = {"label": "x", "published": "Llama-7B"}
    settings = made_settings(True, models=["a", "b"], model_info={"a": info, "b": info})
    with pytest.raises(UserError, match="marked as the same") as refused:
        compare_accuracies(settings, load_published(PAPER), {})
    assert "a, b" in refused.value.where


def hyper_parameter(table: str, key: str, column: str, value: str) -> dict[str, str]:
    return {"table": table, "row": key, "column": column, "value": value, "source": "run.json"}


def test_hyper_parameters_are_compared_as_numbers() -> None:
    cells = [
        hyper_parameter("table1", "learning_rate", "mine/sft", "1e-05"),
        hyper_parameter("table1", "epochs", "mine/sft", "3"),
        hyper_parameter("table2", "learning_rate", "actor/ppo", "9e-06, 1e-05"),
        hyper_parameter("table2", "epochs", "scorer/reward", "1"),
    ]
    compared = compare_hyper_parameters(made_settings(True), load_published(PAPER), cells)
    verdicts = {(one.table, one.row, one.column): one.verdict for one in compared}
    assert verdicts["table1", "learning_rate", "mine/sft"] == "reproduced"
    assert verdicts["table1", "epochs", "mine/sft"] == "differs"
    assert verdicts["table2", "learning_rate", "actor/ppo"] == "reproduced"
    assert verdicts["table2", "epochs", "scorer/reward"] == "not comparable"
    assert verdicts["table2", "gamma", "ppo"] == "not run"
    assert len(verdicts) == 27


@pytest.mark.parametrize(("preset", "overlays"), [("demo", []), ("smoke", ["smoke.yaml"]), ("paper", ["paper.yaml"])])
def test_only_the_paper_preset_is_marked(preset: str, overlays: list[str]) -> None:
    config = load_configuration(ROOT / "config.yaml", [ROOT / "config" / name for name in overlays], {})
    settings = comparison_settings(config)
    marks = {name: info.get("published") for name, info in settings["model_info"].items()} | settings["published_tasks"]
    if preset == "paper":
        tasks = {"sst2": "SST2", "csqa": "CSQA", "mnli": "MNLI", "copa": "CoPA"}
        assert marks == {"llama-7b": "Llama-7B", "llama-13b": "Llama-13B", **tasks}
        assert [role["published"] for role in settings["rl"].values()] == ["OPT-6.7B", "OPT-350m"]
    else:
        assert set(marks.values()) == {None}
        assert {role["published"] for role in settings["rl"].values()} == {None}
    assert settings["tolerance"] == TOLERANCE


def test_compare_tables_writes_every_cell_once(tmp_path: Path) -> None:
    rows = made_rows(sst2_k0="12.50", boolq_k0="60.00")["mine", "pretrained"]
    (tmp_path / "table3.csv").write_text(to_csv(list(rows), [list(rows.values())]))
    cell = hyper_parameter("table1", "epochs", "mine/sft", "3")
    lines = [[cell.get(column, "") for column in CELL_COLUMNS]]
    (tmp_path / "table1_cells.csv").write_text(to_csv(CELL_COLUMNS, lines))
    arguments = ["--settings", canonical_json(made_settings(True)), "--paper", str(PAPER), "--output", str(tmp_path)]
    given_files = ["--table3", str(tmp_path / "table3.csv"), "--hyper-parameters", str(tmp_path / "table1_cells.csv")]
    assert compare_tables.main([*arguments, *given_files]) == 0
    written = (tmp_path / "comparison_cells.csv").read_text()
    cells = list(csv.DictReader(io.StringIO(written)))
    names = [row["cell"] for row in cells]
    assert len(names) == len(set(names)) == 72 + 1 + 27 + 1
    assert {row["cell"]: row["value"] for row in cells}[
        "comparison/table3/Llama-7B/pretrained/SST2/k0/difference"
    ] == "12.3900"
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))) == 72 + 1 + 27
    markdown = (tmp_path / "comparison.md").read_text()
    assert "0.11<br>12.5 (10\u201316)<br>+12.4 differs" in markdown
    assert "epochs of mine/sft: 3, published 5." in markdown
    assert {path.name for path in tmp_path.glob("comparison.*")} == {
        f"comparison.{kind}" for kind in ("csv", "md", "tex", "html", "json")
    }
