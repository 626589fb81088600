"""Tables: hostile text in every rendering, and Table 3 from score files to cells."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import collect_cells
import render_table3
from common.config.settings import table3_settings
from common.files.csv_files import to_csv
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, sha256_of_file, write_json, write_record
from common.stats.intervals import mean_interval
from common.tables.cells import CELL_COLUMNS
from common.tables.method_pairs import best_cells
from common.tables.scores import Cell
from common.tables.table import Table, escape_latex, to_html, to_latex, to_markdown, write_table
from support.amounts import examples
from support.read_tables import Page, markdown_page, read_latex

HOSTILE = [
    "<script>alert(1)</script>", "a|b", "R&D &amp; more", "50% of", "snake_case_name", "back\\slash\\", "{braces}",
    "two\nlines", "*bold* `code` [link](x)", "~tilde~ ^hat #1 $5$", "\\|", "**", "</td></table>", '"quotes" \'too\'',
]  # fmt: skip
hostile_text = st.text(alphabet="ab 1<>|&%_\\{}*`[]()~^#$!\"';\n", min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)


# --- escaping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_hostile_text_as_it_is(text: str) -> None:
    table = Table(text, [text, "b"], [[text, "x"], ["y", text]], bold=frozenset({(1, 1)}), notes=[f"note {text}"])
    page = markdown_page(to_markdown(table))
    assert page.rows == [[text, "b"], [text, "x"], ["y", text]]
    assert page.tags <= {"p", "strong", "table", "thead", "tbody", "tr", "th", "td", "br", "ul", "li"}


@pytest.mark.parametrize("text", HOSTILE)
def test_html_shows_hostile_text_as_it_is(text: str) -> None:
    table = Table(text, [text, "b"], [[text, "x"]], [(text, 2)], frozenset({(0, 0)}), [text])
    page = Page(to_html(table))
    assert page.rows == [[text], [text, "b"], [text, "x"]]
    assert page.bold == {(2, 0)}
    assert "script" not in page.tags


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_shows_hostile_text_as_it_is(text: str) -> None:
    assert read_latex(escape_latex(text)).split() == text.split()
    table = Table(text, [text, "b"], [[text, "x"]], [(text, 2)], frozenset({(0, 0)}), [text])
    assert to_latex(table).count(escape_latex(text)) >= 5


@hypothesis_settings(deadline=None, max_examples=examples(200))
@given(hostile_text)
def test_escaping_survives_random_hostile_text(text: str) -> None:
    table = Table("A caption", ["a", "b"], [["first", text]])
    assert read_latex(escape_latex(text)).split() == text.split()
    assert Page(to_html(table)).rows[1] == ["first", text]
    assert markdown_page(to_markdown(table)).rows[1] == ["first", text]


@pytest.mark.parametrize("char", ["<", ">", "|"])
def test_latex_escapes_what_its_default_encoding_prints_as_something_else(char: str) -> None:
    assert escape_latex(f"a {char} b") != f"a {char} b"


def test_latex_row_never_begins_with_what_its_line_break_would_swallow() -> None:
    lines = to_latex(Table("A caption", ["[h", "b"], [["[2pt]", "x"], ["*", "y"]])).splitlines()
    after_breaks = [line for before, line in zip(lines, lines[1:], strict=False) if before.endswith((r"\\", "rule"))]
    assert len(after_breaks) >= 4
    assert [line for line in after_breaks if line.startswith(("[", "*"))] == []


def test_latex_paragraph_breaks_do_not_end_the_caption() -> None:
    caption = to_latex(Table("one\n\ntwo", ["a"], [["x"]])).split(r"\caption{")[1].split(r"\begin{tabular}")[0]
    assert "\n\n" not in caption


def test_latex_columns_of_long_texts_share_the_width_of_the_page() -> None:
    rows = [["x", "a " * 100, "b " * 200], ["y", "", ""]]
    text = to_latex(Table("A caption", ["n", "first", "second"], rows))
    assert r"\begin{tabular}{lp{0.40\linewidth}p{0.40\linewidth}}" in text
    assert r"\begin{tabular}{ll}" in to_latex(Table("A caption", ["n", "m"], [["x", "y"]]))


def test_latex_writes_ranges_and_signs_in_its_own_way() -> None:
    assert escape_latex("60\u201370 \u00b1 2") == r"60--70 $\pm$ 2"


# --- structure ------------------------------------------------------------------------------------------------


@pytest.fixture
def grouped() -> Table:
    groups = [("", 1), ("First & second", 2), ("Third", 1)]
    rows = [["r1", "1", "2", "3"], ["r2", "4", "5", "6\n7"]]
    return Table("Grouped", ["name", "a", "b", "c"], rows, groups, frozenset({(0, 2), (1, 3)}), ["A note."])


def test_group_spans_add_up_in_html(grouped: Table) -> None:
    page = Page(to_html(grouped))
    assert [sum(spans) for spans in page.spans] == [4, 4, 4, 4]
    assert page.spans[0] == [1, 2, 1]


def test_group_spans_add_up_in_latex(grouped: Table) -> None:
    text = to_latex(grouped)
    assert r"\begin{tabular}{llll}" in text
    spans = [int(count) for count in re.findall(r"\\multicolumn\{(\d+)\}\{c\}", text)]
    assert spans == [1, 2, 1]
    rows = [line for line in text.split("\\\\\n") if "&" in line]
    assert [len(re.split(r"(?<!\\)&", row)) for row in rows] == [3, 4, 4, 4]


def test_groups_are_part_of_the_markdown_header(grouped: Table) -> None:
    page = markdown_page(to_markdown(grouped))
    assert page.rows[0] == ["name", "First & second a", "First & second b", "Third c"]


def test_groups_that_do_not_add_up_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"zip\(\)"):
        write_table(Table("Wrong", ["a", "b"], [["1", "2"]], [("g", 3)]), tmp_path, "wrong")
    assert list(tmp_path.iterdir()) == []


def test_bold_cells_are_bold_everywhere(grouped: Table) -> None:
    markdown, page = markdown_page(to_markdown(grouped)), Page(to_html(grouped))
    assert markdown.bold == {(1, 2), (2, 3)}
    assert page.bold == {(2, 2), (3, 3)}
    latex = re.findall(r"\\textbf\{([^}]*)\}", to_latex(grouped))
    assert [text.split() for text in latex] == [["2"], ["6", "7"]]


def test_captions_and_notes_are_shown(grouped: Table) -> None:
    for text in (to_markdown(grouped), to_latex(grouped), to_html(grouped)):
        assert "Grouped" in text
        assert "A note." in text


def test_write_table_writes_four_renderings(grouped: Table, tmp_path: Path) -> None:
    write_table(grouped, tmp_path, "t", provenance={"rule": "render"})
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert content["header"] == list(grouped.header)
    assert [[cell["text"] for cell in row] for row in content["rows"]] == [list(row) for row in grouped.rows]
    bold = {(i, j) for i, row in enumerate(content["rows"]) for j, cell in enumerate(row) if cell["bold"]}
    assert bold == grouped.bold
    assert (content["table"], content["language"], content["provenance"]) == ("t", "en", {"rule": "render"})
    renderings = {"t.md": to_markdown, "t.tex": to_latex, "t.html": to_html}
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix != ".json"}
    assert written == {name: render(grouped) for name, render in renderings.items()}


def test_csv_leaves_missing_values_empty_and_keeps_zero() -> None:
    assert to_csv(["a", "b", "c"], [[None, 0, "x"], [0.0, "", None]]) == "a,b,c\n,0,x\n0.0,,\n"


@pytest.mark.parametrize("text", [*HOSTILE, "a,b", 'say "x"', "\r\n"])
def test_csv_gives_back_hostile_text(text: str) -> None:
    assert list(csv.reader(io.StringIO(to_csv(["h"], [[text]]), newline=""))) == [["h"], [text]]


# --- Table 3 --------------------------------------------------------------------------------------------------

PATTERNS = {
    ("small", "pretrained", 0): ["000000110000"],
    ("small", "pretrained", 2): ["110000000000", "100000000000"],
    ("small", "coh", 0): ["111111111111"],
    ("small", "coh", 2): ["111111000000", "110110110110"],
    ("big", "pretrained", 0): ["111111000000"],
    ("big", "pretrained", 2): ["111111000000", "000000111111"],
    ("big", "coh", 0): ["000000111111"],
    ("big", "coh", 2): ["000000000000", "000000000000"],
}
SEEDS = (4, 9)
CONFIG = {
    "models": {
        "big": {"label": "Big_model", "source": {"kind": "local", "path": "/b"}},
        "small": {"label": "Small & fine", "note": "a note", "source": {"kind": "local", "path": "/s"}},
    },
    "evaluation": {"shots": [0, 2], "seeds": list(SEEDS)},
    "table3": {"models": ["small", "big"], "methods": ["pretrained", "coh"], "tasks": ["sst2"], "notes": ["50 % only"]},
}  # fmt: skip


class Results:
    """A made-up results directory and what render_table3 makes of it."""

    def __init__(self, folder: Path):
        self.folder, self.tables = folder, folder / "tables"

    def stem(self, model: str, method: str, k: int, seed: int) -> Path:
        return self.folder / "eval" / model / method / "sst2" / f"k{k}_seed{seed}"

    def write_run(self, stem: Path, pattern: str, first: int = 0) -> None:
        rows = [{"id": f"item{first + i}", "correct": char == "1"} for i, char in enumerate(pattern)]
        write_parquet(stem.with_suffix(".parquet"), rows, ("id", "correct"))
        facts = {"correct": pattern.count("1"), "n": len(pattern), "unparseable": 0.0}
        digest = sha256_of_file(stem.with_suffix(".parquet"))
        write_record(stem.with_suffix(".json"), {**facts, "rows_sha256": digest})

    def render(self) -> int:
        options = {"--eval": self.folder / "eval", "--models": self.folder / "models", "--output": self.tables}
        arguments = [str(part) for option in options.items() for part in option]
        return render_table3.main(["--settings", canonical_json(table3_settings(CONFIG)), *arguments])

    def rows(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((self.tables / name).read_text(encoding="utf-8"))))

    def cells(self) -> dict[str, dict[str, str]]:
        return {row["cell"]: row for row in self.rows("table3_cells.csv")}

    def markdown(self) -> Page:
        return markdown_page((self.tables / "table3.md").read_text(encoding="utf-8"))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    made = Results(tmp_path)
    for (model, method, k), patterns in PATTERNS.items():
        for seed, pattern in zip(SEEDS if k else [0], patterns, strict=False):
            made.write_run(made.stem(model, method, k, seed), pattern)
    write_json(tmp_path / "data/tasks/sst2/summary.json", {"title": "SST_2"})
    tokens = {"tokens_seen": {"total": 12345, "target": 678}}
    write_json(tmp_path / "models/small/coh/run.json", tokens)
    return made


def test_table3_cells_equal_a_hand_computation(results: Results) -> None:
    assert results.render() == 0
    cells = results.cells()
    assert len(cells) == 8
    shown = {name: (cell["value"], cell["stderr"], cell["n"]) for name, cell in cells.items()}
    assert shown["table3/small/pretrained/sst2/k0"] == ("16.6667", "11.2367", "12")
    assert shown["table3/small/pretrained/sst2/k2"] == ("12.5000", "8.9718", "12")
    assert shown["table3/small/coh/sst2/k0"] == ("100.0000", "0.0000", "12")
    assert shown["table3/small/coh/sst2/k2"] == ("58.3333", "10.3597", "12")
    assert shown["table3/big/pretrained/sst2/k2"] == ("50.0000", "0.0000", "12")
    assert shown["table3/big/coh/sst2/k2"] == ("0.0000", "0.0000", "12")
    assert cells["table3/big/coh/sst2/k2"]["source"] == "eval/big/coh/sst2/k2_seed*"


def test_table3_csv_holds_means_intervals_and_counts(results: Results) -> None:
    assert results.render() == 0
    rows = {(row["model"], row["method"]): row for row in results.rows("table3.csv")}
    wide = rows["small", "pretrained"]
    names = ("sst2_k0", "sst2_k0_low", "sst2_k0_high", "sst2_k0_n")
    assert [wide[name] for name in names] == ["16.6667", "4.6965", "44.8031", "12"]
    assert rows["small", "coh"]["sst2_k0_low"] == "75.7506"
    correct = np.array([[char == "1" for char in pattern] for pattern in PATTERNS["small", "coh", 2]])
    expected = [f"{100 * value:.4f}" for value in mean_interval(correct, 0)]
    assert [rows["small", "coh"][f"sst2_k2_{end}"] for end in ("low", "high")] == expected
    spread = ("lowest_draw", "highest_draw", "sd_of_draws")
    assert [rows["small", "coh"][f"sst2_k2_{name}"] for name in spread] == ["50.0000", "66.6667", "11.7851"]
    assert [rows["small", "coh"][f"sst2_k0_{name}"] for name in spread] == ["100.0000", "100.0000", ""]


def test_table3_keeps_the_order_of_the_configuration(results: Results) -> None:
    assert results.render() == 0
    assert [row[:2] for row in results.markdown().rows[1:]] == [
        ["Small & fine", "Pretrained"], ["Small & fine", "CoH"], ["Big_model", "Pretrained"], ["Big_model", "CoH"],
    ]  # fmt: skip


def test_table3_shows_means_over_intervals_and_bolds_what_is_significantly_best(results: Results) -> None:
    assert results.render() == 0
    page = results.markdown()
    assert page.rows[0] == ["Model", "Method", "SST_2 k=0", "SST_2 k=2"]
    by_label = {tuple(row[:2]): row[2:] for row in page.rows[1:]}
    assert by_label["Small & fine", "Pretrained"][0] == "16.7\n5\u201345"
    assert by_label["Small & fine", "CoH"][0] == "100.0\n76\u2013100"
    assert re.fullmatch(r"58\.3\n\d+\u2013\d+\n\(50\u201367\)", by_label["Small & fine", "CoH"][1])
    bold = {(*page.rows[i][:2], page.rows[0][j]) for i, j in page.bold if i > 0}
    assert bold == {
        ("Small & fine", "CoH", "SST_2 k=0"),
        ("Small & fine", "CoH", "SST_2 k=2"),
        ("Big_model", "Pretrained", "SST_2 k=2"),
    }


def test_table3_notes_say_what_a_reader_must_know(results: Results) -> None:
    assert results.render() == 0
    text = (results.tables / "table3.html").read_text(encoding="utf-8")
    assert "Small &amp; fine, CoH: 12,345 tokens seen in training, 678 of them with loss." in text
    assert "Small &amp; fine is a note." in text
    assert "<li>50 % only</li>" in text
    assert "mean of 2 draws" in text


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@pytest.mark.parametrize(("k", "seed"), [(0, 0), (2, 9)])
def test_deleted_score_file_makes_its_cell_missing_never_zero(results: Results, suffix: str, k: int, seed: int) -> None:
    results.stem("big", "pretrained", k, seed).with_suffix(suffix).unlink()
    assert results.render() == 0
    page = results.markdown()
    column = page.rows[0].index(f"SST_2 k={k}")
    assert {tuple(row[:2]): row[column] for row in page.rows}["Big_model", "Pretrained"] == "missing"
    wide = next(row for row in results.rows("table3.csv") if (row["model"], row["method"]) == ("big", "pretrained"))
    assert [wide[f"sst2_k{k}{end}"] for end in ("", "_low", "_high", "_n")] == [""] * 4
    cell = results.cells()[f"table3/big/pretrained/sst2/k{k}"]
    assert (cell["value"], cell["stderr"], cell["n"]) == ("missing", "", "")
    assert sum(row["value"] == "missing" for row in results.cells().values()) == 1
    for kind in ("tex", "html"):
        assert (results.tables / f"table3.{kind}").read_text(encoding="utf-8").count("missing") == 1


def test_table3_without_any_score_is_all_missing(tmp_path: Path) -> None:
    empty = Results(tmp_path)
    assert empty.render() == 0
    assert [cell["value"] for cell in empty.cells().values()] == ["missing"] * 8


@pytest.mark.parametrize(
    "content",
    ['{"correct": 7}', '{"correct": 2', "{}", "[]", ""],
    ids=["count", "cut off", "no count", "list", "empty"],
)
def test_tampered_summary_is_an_error(results: Results, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    summary = results.stem("small", "pretrained", 0, 0).with_suffix(".json")
    assert json.loads(summary.read_text(encoding="utf-8"))["correct"] == 2
    summary.write_text(content, encoding="utf-8")
    assert results.render() == 2
    assert "k0_seed0" in capsys.readouterr().err
    assert not (results.tables / "table3.csv").exists()


def test_tampered_rows_are_an_error(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    stem = results.stem("small", "pretrained", 0, 0)
    stem.with_suffix(".parquet").write_bytes(stem.with_suffix(".parquet").read_bytes()[:-40])
    assert results.render() == 2
    assert "not a readable parquet file" in capsys.readouterr().err


def test_runs_over_different_items_are_an_error(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    results.write_run(results.stem("small", "coh", 2, 9), "110110110110", first=1)
    assert results.render() == 2
    assert "different items" in capsys.readouterr().err


def test_best_cells_needs_a_significant_lead_over_every_other_method() -> None:
    def cell(right: int) -> Cell:
        return Cell(np.array([[i < right for i in range(20)]]), tuple(map(str, range(20))), "T")

    clear = {("m", method, "t", 0): cell(right) for method, right in (("a", 20), ("b", 5), ("c", 4))}
    assert best_cells(clear) == {("m", "a", "t", 0)}
    assert best_cells({**clear, ("m", "b", "t", 0): cell(18)}) == set()
    assert best_cells({**clear, ("m", "b", "t", 0): None, ("m", "c", "t", 0): None}) == set()


# --- all cells ------------------------------------------------------------------------------------------------


def collect(folder: Path, *names: list[str]) -> tuple[int, Path]:
    paths = []
    for i, cells in enumerate(names):
        rows = [[name, "t", "r", "c", "1.0", "0.1", 5, "s"] for name in cells]
        paths.append(folder / f"cells{i}.csv")
        paths[-1].write_text(to_csv(CELL_COLUMNS, rows), encoding="utf-8")
    output = folder / "all.csv"
    return collect_cells.main(["--settings", "{}", "--cells", *map(str, paths), "--output", str(output)]), output


def test_collect_cells_joins_files_in_order(tmp_path: Path) -> None:
    code, output = collect(tmp_path, ["t/a", "t/b"], ["u/a"])
    assert code == 0
    assert [row["cell"] for row in csv.DictReader(output.open(encoding="utf-8"))] == ["t/a", "t/b", "u/a"]


@pytest.mark.parametrize("names", [[["t/a"], ["t/a"]], [["t/a", "t/b", "t/a"]]])
def test_collect_cells_refuses_duplicates(
    tmp_path: Path, names: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = collect(tmp_path, *names)
    assert code == 2
    assert "the cell t/a appears twice" in capsys.readouterr().err
    assert not output.exists()
