"""The published numbers, read from `resources/paper` and checked; digits are kept as they are printed."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.yaml_files import read_checked_yaml

PERCENTAGE = re.compile(r"[0-9]+(\.[0-9]+)?")
COLUMNS = ("model", "method", "task", "k", "accuracy")
METHODS = {"Pretrained": "pretrained", "SFT": "sft", "CoH": "coh"}
LABELS = {method: label for label, method in METHODS.items()}
Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class PublishedCell:
    """A cell of Table 3.

    Attributes:
        model: row group as printed.
        method: pretrained, sft or coh.
        task: column group as printed.
        k: number of in-context examples.
        text: accuracy in percent, as printed.
    """

    model: str
    method: str
    task: str
    k: int
    text: str

    @property
    def key(self) -> Key:
        return self.model, self.method, self.task, self.k

    @property
    def percent(self) -> float:
        return float(self.text)

    @property
    def row(self) -> str:
        return f"{self.model} {LABELS[self.method]}"

    @property
    def name(self) -> str:
        return f"{self.row} {self.task} k={self.k}"

    def units(self, decimals: int) -> int:
        """The value in units of its last digit when `decimals` are printed: 96.3 at two decimals is 9630."""
        return int(Decimal(self.text).scaleb(decimals))


@dataclass(frozen=True)
class Published:
    """Everything of the paper that is checked.

    Attributes:
        hyper_parameters: of Tables 1 and 2 by (table, key, method), as printed.
        table3: accuracies, in the order printed.
        examples: Table 4.
        ratings: the human evaluation of section 5.2.
        facts: what the audit assumes (audit.yaml).
        claims: what the paper states (claims.yaml).
    """

    hyper_parameters: dict[tuple[str, str, str], str]
    table3: list[PublishedCell]
    examples: list[dict[str, Any]]
    ratings: dict[str, Any]
    facts: dict[str, Any]
    claims: list[dict[str, Any]]

    @property
    def cells(self) -> dict[Key, PublishedCell]:
        return {cell.key: cell for cell in self.table3}

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(cell.model for cell in self.table3))

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(cell.task for cell in self.table3))

    @property
    def shots(self) -> list[int]:
        return list(dict.fromkeys(cell.k for cell in self.table3))

    def items(self, task: str) -> int:
        """Items of a task's evaluation set."""
        return int(self.facts["tasks"][task]["items"])

    def runs(self, k: int) -> int:
        """Runs behind a cell."""
        return int(self.facts["runs"][k])


FILES = ("table1.csv", "table2.csv", "table3.csv", "table4.yaml", "human_evaluation.yaml", "audit.yaml", "claims.yaml")


def published_files(folder: Path) -> list[Path]:
    """The files `load_published` reads."""
    return [folder / name for name in (*FILES, "schema.yaml")]


def load_published(folder: Path) -> Published:
    """Read `resources/paper`.

    Raises:
        UserError: when a file is missing or malformed, or the files disagree about tasks or examples.
    """
    published = Published(
        hyper_parameters=_load_hyper_parameters(folder),
        table3=load_table3(folder / "table3.csv"),
        examples=read_checked_yaml(folder / "table4.yaml")["examples"],
        ratings=read_checked_yaml(folder / "human_evaluation.yaml"),
        facts=read_checked_yaml(folder / "audit.yaml"),
        claims=read_checked_yaml(folder / "claims.yaml")["claims"],
    )
    _check_agreement(published, folder)
    return published


def load_table3(path: Path) -> list[PublishedCell]:
    """The cells of Table 3.

    Raises:
        UserError: naming the line, when a value is not a percentage, a method is unknown or a cell appears twice.
    """
    cells: list[PublishedCell] = []
    for line, row in enumerate(_read_csv(path, COLUMNS), start=2):
        where = f"{path}, line {line}"
        if row["method"] not in METHODS:
            raise UserError(f"unknown method `{row['method']}`", where, f"give one of {', '.join(METHODS)}")
        if not row["k"].isdecimal():
            raise UserError(f"k is `{row['k']}`, no number of examples", where, "give 0 or a positive integer")
        _check_percentage(row["accuracy"], where)
        cell = PublishedCell(
            model=row["model"],
            method=METHODS[row["method"]],
            task=row["task"],
            k=int(row["k"]),
            text=row["accuracy"],
        )
        if cell.key in {other.key for other in cells}:
            raise UserError(f"the cell {cell.name} appears twice", where, "delete one of them")
        cells.append(cell)
    if not cells:
        raise UserError("a table holds no cell", str(path), "restore the file")
    return cells


def _read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file with exactly these columns, values stripped."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines(), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"a file of the paper's numbers cannot be read: {error}", str(path), "restore it") from error
    if not rows or tuple(rows[0]) != columns:
        raise UserError("a table has other columns than expected", str(path), f"its header is {','.join(columns)}")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise UserError(f"{len(row)} fields instead of {len(columns)}", f"{path}, line {line}", "fix the line")
    return [dict(zip(columns, (value.strip() for value in row), strict=True)) for row in rows[1:]]


def _load_hyper_parameters(folder: Path) -> dict[tuple[str, str, str], str]:
    """Values of Tables 1 and 2; Table 1 is one for both methods, a stage without a value in Table 2 has no entry."""
    found: dict[tuple[str, str, str], str] = {}
    for row in _read_csv(folder / "table1.csv", ("key", "hyper_parameter", "value")):
        found |= {("table1", row["key"], method): row["value"] for method in ("sft", "coh")}
    stages = ("rl_sft", "reward", "ppo")
    for row in _read_csv(folder / "table2.csv", ("key", "hyper_parameter", *stages)):
        found |= {("table2", row["key"], stage): row[stage] for stage in stages if row[stage]}
    for name, value in found.items():
        for part in value.split(","):
            _check_number(part, f"{folder}, {'/'.join(name)}")
    return found


def _check_number(text: str, where: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation as error:
        raise UserError(f"`{text}` is not a number", where, "give the number the paper prints") from error
    if not value.is_finite():
        raise UserError(f"{text} is not finite", where, "give the number the paper prints")
    return value


def _check_percentage(text: str, where: str) -> None:
    if not PERCENTAGE.fullmatch(text) or not 0 <= _check_number(text, where) <= 100:
        raise UserError(f"`{text}` is not a percentage", where, "give an accuracy between 0 and 100 in plain digits")


def _check_agreement(published: Published, folder: Path) -> None:
    """Tasks, numbers of examples, decimals and examples named in one file must exist in the other."""
    facts, problems = published.facts, []
    for cell in published.table3:
        exponent = Decimal(cell.text).as_tuple().exponent
        if isinstance(exponent, int) and -exponent > facts["decimals"]:
            problems.append(f"{cell.name} has more than {facts['decimals']} decimals")
    problems += [f"audit.yaml has no task {task}" for task in published.tasks if task not in facts["tasks"]]
    problems += [f"audit.yaml has no runs for k = {k}" for k in published.shots if k not in facts["runs"]]
    examples = {example["id"] for example in published.examples}
    for claim in published.claims:
        problems += [
            f"claim {claim['id']}: {problem}" for problem in _unknown_names(claim["test"], published, examples)
        ]
    names = [claim["id"] for claim in published.claims]
    problems += [f"the claim {name} appears twice" for name in sorted({n for n in names if names.count(n) > 1})]
    ratings = published.ratings
    if ratings["raters"] * ratings["examples"] != sum(ratings["preferred"].values()) + ratings["similar"]:
        problems.append("human_evaluation.yaml: the ratings do not add up to raters x examples")
    if problems:
        raise UserError("the paper's numbers disagree:\n    " + "\n    ".join(problems), str(folder), "fix these files")


def _unknown_names(test: Mapping[str, Any], published: Published, examples: set[str]) -> list[str]:
    known: dict[str, list[Any]] = {"models": published.models, "tasks": published.tasks, "shots": published.shots}
    selectors = [*test.get("cells", []), {"shots": test.get("shots", [])}]
    named = [(kind, name) for selector in selectors for kind in selector for name in selector[kind]]
    problems = [f"unknown {kind}: {name}" for kind, name in named if name not in known[kind]]
    if "task" in test and test["task"] not in published.tasks:
        problems.append(f"unknown task: {test['task']}")
    if "example" in test and test["example"] not in examples:
        problems.append(f"unknown example: {test['example']}")
    return problems
