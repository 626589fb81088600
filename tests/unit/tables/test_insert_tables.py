"""The tables of a run in the pages that show them."""

import json
from pathlib import Path

import pytest

import insert_tables
from common.files.whole_files import read_json, write_json
from common.tables.table import Table, write_table

SHOTS = ("0", "1", "3")
TASKS = ("SST2", "CoPA")
METHODS = ("Pretrained", "CoH")
PAGE = "before\n<!-- begin {name} -->\nold\n<!-- end {name} -->\nafter\n"
LOSS = {"before": 2.5, "after": 2.0, "difference": -0.5, "interval95": [-0.6, -0.4], "n": 36}


def mean(model: int, task: int, shot: int, method: int) -> str:
    return f"{model}{task}.{shot}{method}"


def accuracy_table(models: int) -> Table:
    """A table as render_table3 makes it; every mean says where it belongs, CoH is bold at k = 1."""
    places = [(task, shot) for task in range(len(TASKS)) for shot in range(len(SHOTS))]
    rows = [
        [f"model {model}", label, *(f"{mean(model, task, shot, method)}\n1\u20132" for task, shot in places)]
        for model in range(models)
        for method, label in enumerate(METHODS)
    ]
    bold = [(i, j + 2) for i in range(1, len(rows), 2) for j, (_, shot) in enumerate(places) if shot == 1]
    return Table(
        caption="Table 3. Accuracy",
        header=["Model", "Method", *(f"k={SHOTS[shot]}" for _, shot in places)],
        groups=[("", 2), *((task, len(SHOTS)) for task in TASKS)],
        rows=rows,
        bold=frozenset(bold),
        notes=["Items: 64."],
    )


def written_pages(folder: Path, names: tuple[str, ...], models: int = 1) -> tuple[int, list[str]]:
    """Exit code and what became of a page for each block."""
    tables, pages = folder / "tables", [folder / f"{name}.md" for name in names]
    write_table(accuracy_table(models), tables, "table3")
    write_table(Table(caption="Table 1", header=["x"], rows=[["1e-5"]]), tables, "table1")
    for name, page in zip(names, pages, strict=True):
        page.write_text(PAGE.format(name=name), encoding="utf-8")
    write_json(folder / "models/m/coh/run.json", {"heldout_loss": LOSS})
    settings = {"preset": "demo", "models": ["m"], "labels": {"m": "model 0"}, "trained": ["coh"]}
    arguments = ["--settings", json.dumps(settings), "--tables", str(tables / "table1.md")]
    arguments += ["--table3", str(tables / "table3.json"), "--models", str(folder / "models")]
    code = insert_tables.main([*arguments, "--output", str(folder / "out"), "--pages", *map(str, pages)])
    return code, [(folder / "out" / page.name).read_text(encoding="utf-8") for page in pages] if code == 0 else []


def cells(page: str) -> list[list[str]]:
    lines = [line for line in page.replace("\u2060", "").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|:")]


def test_every_block_stands_in_its_place(tmp_path: Path) -> None:
    code, pages = written_pages(tmp_path, ("table1", "training"))
    assert code == 0
    assert cells(pages[0]) == [["x"], ["1e-5"]]
    assert "- model 0, CoH: held-out loss 2.500 before, 2.000 after training; difference -0.500" in pages[1]
    for page in pages:
        assert page.startswith("before\n<!-- begin ")
        assert page.endswith(" -->\nafter\n")
        assert "old" not in page


def test_the_short_table_shows_the_first_model_with_the_fewest_examples(tmp_path: Path) -> None:
    _, (page,) = written_pages(tmp_path, ("short",), models=2)
    expected = [[task, *(f"{mean(0, i, 0, j)} (1\u20132)" for j in range(2))] for i, task in enumerate(TASKS)]
    assert cells(page) == [["Task", *METHODS], *expected]
    assert "with 0 in-context examples: model 0, preset demo" in page


@pytest.mark.parametrize("models", [1, 2])
def test_the_full_table_holds_every_cell_once(tmp_path: Path, models: int) -> None:
    _, (page,) = written_pages(tmp_path, ("table3",), models=models)
    expected = []
    for model in range(models):
        for i, task in enumerate(TASKS):
            for shot, k in enumerate(SHOTS):
                found = [f"{mean(model, i, shot, j)}<br>1\u20132" for j in range(2)]
                found[1] = f"**{found[1]}**" if k == "1" else found[1]
                expected.append([*([f"model {model}"] if models > 1 else []), task, k, *found])
    assert cells(page)[1:] == expected
    assert "- Items: 64." in page


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    _, (first,) = written_pages(tmp_path, ("table3",))
    blocks = {"table3": insert_tables.to_markdown(insert_tables.full_table(read_json(tmp_path / "tables/table3.json")))}
    again = insert_tables.fill_page(tmp_path / "out/table3.md", {name: text.strip() for name, text in blocks.items()})
    assert again == first


@pytest.mark.parametrize("name", ["table9", "short -->\n<!-- end short -->\n<!-- begin training"])
def test_a_page_without_a_proper_place_is_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / f"{name[:6]}.md"
    page.write_text(PAGE.format(name=name), encoding="utf-8")
    with pytest.raises(insert_tables.UserError) as caught:
        insert_tables.fill_page(page, {"table1": "", "short": "", "training": ""})
    assert "does not say where its tables belong" in str(caught.value)
    assert str(page) in str(caught.value)


def test_a_page_of_prose_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no place here\n", encoding="utf-8")
    with pytest.raises(insert_tables.UserError):
        insert_tables.fill_page(page, {"table1": ""})


def test_table_5_is_turned_so_that_each_method_is_a_column() -> None:
    def row(*texts: str) -> list[dict[str, object]]:
        return [{"text": text, "bold": False, "cell": None} for text in texts]

    groups = [{"title": "", "columns": 2}, {"title": "Accuracy", "columns": 1}, {"title": "", "columns": 1}]
    header = ["Model", "Method", "k=0", "Reward"]
    table5 = {"caption": "Table 5", "groups": groups, "header": header, "notes": ["Note."],
              "rows": [row("M", "SFT", "1", "2"), row("M", "CoH", "3", "4")]}  # fmt: skip
    table = insert_tables.turned(table5)
    assert (table.header, table.rows) == (["", "SFT", "CoH"], [["Accuracy: k=0", "1", "3"], ["Reward", "2", "4"]])
    table5["rows"].append(row("N", "SFT", "5", "6"))
    assert insert_tables.turned(table5).header == ["", "M, SFT", "M, CoH", "N, SFT"]
