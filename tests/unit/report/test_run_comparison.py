"""Two runs compared: the outcome for each table, where they part, what another CPU excuses and what it does not."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from common.report.run_comparison import (
    DIFFERS,
    IDENTICAL,
    LOSS_TOLERANCE,
    SAME_VERDICTS,
    VERDICT_TOLERANCE,
    WITHIN,
    Comparison,
    compare_runs,
    surroundings,
)
from common.report.run_facts import Facts, run_facts
from support.small_run import ITEMS, write_small_run

COH, SCORE, SAMPLES = "models/m/coh", "eval/m/coh/sst2/k0_seed0", "samples/m/ppo"
CELL, AFTER = "table3/m/coh/sst2/k0", "held-out loss after"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return run_facts(write_small_run(tmp_path_factory.mktemp("run") / "demo"))


@pytest.fixture
def found(expected: Facts) -> Facts:
    """The facts of an equal run, for a test to change."""
    return copy.deepcopy(expected)


def outcomes(comparison: Comparison) -> dict[str, str]:
    """Of the tables that are not identical."""
    return {table.name: table.outcome for table in comparison.tables if table.outcome != IDENTICAL}


def flip(facts: Facts, count: int = 1, scoring: str = "generation") -> None:
    """Turn over the verdicts on the last items of CoH's answers."""
    score = facts["scores"][SCORE]
    score["verdicts"][scoring] = "1" * (ITEMS - count) + "0" * count
    score["answers"] = f"{count} others"


def other_text(facts: Facts, table: str) -> None:
    facts["tables"][table]["text"] = "another"


def other_value(facts: Facts, cell: str, value: str) -> None:
    """A cell with another value, and the text with it."""
    table = facts["tables"][cell.split("/")[0]]
    table["cells"][cell][0] = value
    other_text(facts, cell.split("/")[0])


def on_another_cpu(facts: Facts) -> None:
    """What a run on another kind of CPU may look like: other bits everywhere, one verdict, one response."""
    facts["machines"][0]["cpu_capability"] = "AVX2"
    for name in ("sft", "coh", "reward", "ppo"):
        facts["models"][f"models/m/{name}"]["weights"] = f"{name} in other bits"
    facts["models"][COH]["heldout"][AFTER] *= 1 + LOSS_TOLERANCE / 2
    flip(facts)
    other_value(facts, CELL, "97.5")
    facts["samples"][SAMPLES]["responses"]["prompt1"] = ["another", 0.25]
    other_value(facts, "table4/m/ppo", "0.4375")


# --- outcomes ----------------------------------------------------------------------------------------------------


def test_equal_runs_are_identical(expected: Facts, found: Facts) -> None:
    comparison = compare_runs(found, expected)
    assert comparison.outcome == IDENTICAL
    assert {table.outcome for table in comparison.tables} == {IDENTICAL}
    assert [table.name for table in comparison.tables] == ["table1", "table3", "table4", "costs"]
    assert comparison.parting == []


def test_code_and_versions_alone_are_no_difference(expected: Facts, found: Facts) -> None:
    found["versions"]["torch"] = ["2.14.0"]
    for part in ("models", "scores", "samples"):
        for made in found[part].values():
            made["code"] = "1" * 16
    assert compare_runs(found, expected).outcome == IDENTICAL


def test_another_text_over_the_same_verdicts_and_values_is_told_apart(expected: Facts, found: Facts) -> None:
    other_text(found, "table3")
    comparison = compare_runs(found, expected)
    assert outcomes(comparison) == {"table3": SAME_VERDICTS}
    assert comparison.outcome == SAME_VERDICTS
    assert [one.name for one in comparison.parting] == ["tables/table3"]


@pytest.mark.parametrize("table", ["table1", "table4", "costs"])
def test_another_text_with_no_verdicts_behind_it_differs(expected: Facts, found: Facts, table: str) -> None:
    other_text(found, table)
    assert outcomes(compare_runs(found, expected)) == {table: DIFFERS}


def test_a_value_that_its_verdicts_do_not_explain_differs(expected: Facts, found: Facts) -> None:
    other_value(found, CELL, "97.5")
    comparison = compare_runs(found, expected)
    assert outcomes(comparison) == {"table3": DIFFERS}
    assert comparison.tables[1].cells == [f"{CELL} is 97.5 (n 40) here and 100.0 (n 40) there"]


def test_a_flipped_verdict_differs_and_names_file_and_item(expected: Facts, found: Facts) -> None:
    flip(found)
    comparison = compare_runs(found, expected)
    item = f"item {ITEMS - 1} ({expected['items']['sst2'][str(ITEMS - 1)]})"
    assert comparison.outcome == DIFFERS
    assert outcomes(comparison) == {"table3": DIFFERS}
    assert comparison.tables[1].verdicts == [f"{SCORE} {item} (generation)"]
    assert comparison.tables[1].of == (2, 2 * ITEMS)
    first = comparison.parting[0]
    assert (first.stage, first.name, first.what) == ("answers", SCORE, [f"the verdict on {item} (generation)"])


def test_a_verdict_of_a_scoring_that_no_cell_shows_changes_no_table(expected: Facts, found: Facts) -> None:
    flip(found, scoring="strict")
    comparison = compare_runs(found, expected)
    assert outcomes(comparison) == {}
    assert comparison.outcome == DIFFERS
    assert comparison.parting[0].what[0].endswith("(strict)")


def test_a_cell_of_another_scoring_is_about_its_verdicts(found: Facts) -> None:
    cells = {"sensitivity/m/coh/strict/sst2/k0": ["100", "40", "eval/m/coh/sst2/k0_seed*"]}
    found["tables"]["sensitivity"] = {"text": "t", "cells": cells}
    other = copy.deepcopy(found)
    flip(found, scoring="strict")
    assert outcomes(compare_runs(found, other)) == {"sensitivity": DIFFERS}


def test_answers_in_other_words_are_told_though_the_tables_are_identical(expected: Facts, found: Facts) -> None:
    found["scores"][SCORE]["answers"] = "another"
    comparison = compare_runs(found, expected)
    assert outcomes(comparison) == {}
    assert comparison.outcome == DIFFERS
    assert comparison.parting[0].what == ["other answers, the same verdicts"]


@pytest.mark.parametrize(("turned", "told"), [(False, "all, only here"), (True, "all, only there")])
def test_a_table_of_one_run_alone_differs(expected: Facts, found: Facts, turned: bool, told: str) -> None:
    found["tables"]["table9"] = {"text": "t", "cells": {}}
    comparison = compare_runs(*((expected, found) if turned else (found, expected)))
    assert outcomes(comparison) == {"table9": DIFFERS}
    assert next(table for table in comparison.tables if table.name == "table9").cells == [told]


# --- where two runs part -----------------------------------------------------------------------------------------


def test_a_changed_learning_rate_of_coh_is_named_first(expected: Facts, tmp_path: Path) -> None:
    found = run_facts(write_small_run(tmp_path / "demo", learning_rate=2e-4))
    flip(found)
    comparison = compare_runs(found, expected)
    first = comparison.parting[0]
    assert (first.stage, first.name) == ("train_coh", COH)
    assert first.what == ["training.learning_rate is 0.0002 here and 0.0001 there", "other weights"]
    shared = comparison.stages[: comparison.stages.index(first.stage)]
    assert shared == ["instructions", "splits", "questions", "prompts", "base models", "train_sft"]
    assert comparison.outcome == DIFFERS


def test_the_stages_are_in_the_order_of_the_workflow(expected: Facts, found: Facts) -> None:
    assert compare_runs(found, expected).stages == [
        "instructions", "splits", "questions", "prompts", "base models", "train_sft", "train_coh", "train_rl_sft",
        "train_reward", "train_ppo", "answers", "samples", "tables",
    ]  # fmt: skip


def test_differences_come_in_that_order(expected: Facts, found: Facts) -> None:
    other_text(found, "table3")
    found["samples"][SAMPLES]["responses"]["prompt1"][1] = 0.1
    found["scores"][SCORE]["answers"] = "another"
    for model in found["models"].values():
        model["weights"] += " in other bits"
    found["scores"][SCORE]["prompts"] = "another"
    for name in found["data"]:
        found["data"][name] = "another"
    comparison = compare_runs(found, expected)
    told = list(dict.fromkeys(one.stage for one in comparison.parting))
    assert told == comparison.stages
    assert comparison.differences[-1].what == ["response or reward to prompt1"]


def test_an_artifact_of_one_run_alone_is_named(expected: Facts, found: Facts) -> None:
    del found["scores"][SCORE]
    first = compare_runs(found, expected).parting[0]
    assert (first.name, first.what) == (SCORE, ["only there"])
    assert compare_runs(expected, found).parting[0].what == ["only here"]


def test_other_code_is_named_where_it_may_be_the_cause(expected: Facts, found: Facts) -> None:
    found["models"][COH] |= {"weights": "another", "code": "1" * 16}
    assert compare_runs(found, expected).parting[0].what == ["other weights", "other code made it"]


# --- another CPU -------------------------------------------------------------------------------------------------


def test_what_another_cpu_may_change_is_excused(expected: Facts, found: Facts) -> None:
    on_another_cpu(found)
    comparison = compare_runs(found, expected)
    assert comparison.outcome == WITHIN
    assert outcomes(comparison) == {"table3": WITHIN, "table4": WITHIN}
    assert comparison.parting[0].stage == "train_sft"
    assert len(comparison.tables[1].cells) == len(comparison.tables[1].verdicts) == 1


def test_the_same_kind_of_cpu_excuses_nothing(expected: Facts, found: Facts) -> None:
    on_another_cpu(found)
    found["machines"] = copy.deepcopy(expected["machines"])
    comparison = compare_runs(found, expected)
    assert comparison.outcome == DIFFERS
    assert outcomes(comparison) == {"table3": DIFFERS, "table4": DIFFERS}


def test_verdicts_that_flip_without_a_trace_in_the_table_are_told(expected: Facts, found: Facts) -> None:
    on_another_cpu(found)
    found["tables"] = copy.deepcopy(expected["tables"])
    assert outcomes(compare_runs(found, expected)) == {"table3": WITHIN}


MOST = math.floor(2 * ITEMS * VERDICT_TOLERANCE)


def test_as_many_verdicts_as_are_allowed_are_excused(expected: Facts, found: Facts) -> None:
    on_another_cpu(found)
    flip(found, MOST)
    assert compare_runs(found, expected).outcome == WITHIN


def other_setting(facts: Facts) -> None:
    facts["settings"]["new"] = {"method": "coh"}
    facts["scores"][SCORE]["settings"] = "new"


def change(*keys: str | int, to: object = "another") -> Callable[[Facts], None]:
    def apply(facts: Facts) -> None:
        for key in keys[:-1]:
            facts = facts[key]
        facts[keys[-1]] = to

    return apply


BOTH = {"table3", "table4"}
# Changes on another CPU, and the tables that are not excused for them.
NOT_EXCUSED = {
    "one verdict too many": (lambda facts: flip(facts, MOST + 1), {"table3"}),
    "another n": (change("tables", "table3", "cells", CELL, 1, to="39"), {"table3"}),
    "a setting in a table": (lambda facts: other_value(facts, "table1/rate/coh", "0.0002"), {"table1"}),
    "a loss too far": (change("models", COH, "heldout", AFTER, to=2 + 4 * LOSS_TOLERANCE), set()),
    "a loss less": (change("models", COH, "heldout", to={"held-out loss before": 2.5}), set()),
    "a pair accuracy too far": (
        change("models", "models/m/reward", "heldout", "held-out pair accuracy", to=0.6),
        set(),
    ),
    "another base model": (change("models", "models/m/pretrained", "weights"), set()),
    "another split": (change("data", "splits/coh"), BOTH),
    "another question": (change("items", "sst2", "1"), BOTH),
    "another prompt": (change("scores", SCORE, "prompts"), BOTH),
    "another setting": (other_setting, BOTH),
}


@pytest.mark.parametrize("name", NOT_EXCUSED)
def test_another_cpu_excuses_nothing_else(expected: Facts, found: Facts, name: str) -> None:
    edit, tables = NOT_EXCUSED[name]
    on_another_cpu(found)
    edit(found)
    comparison = compare_runs(found, expected)
    assert comparison.outcome == DIFFERS
    assert {table for table, outcome in outcomes(comparison).items() if outcome == DIFFERS} == tables


def test_what_is_not_excused_is_told_from_what_is(expected: Facts, found: Facts) -> None:
    on_another_cpu(found)
    assert compare_runs(found, expected).unexcused == []
    flip(found, MOST + 1)
    assert [one.name for one in compare_runs(found, expected).unexcused] == ["tables/table3"]
    change("models", COH, "heldout", AFTER, to=3.0)(found)
    assert [one.name for one in compare_runs(found, expected).unexcused] == [COH, "tables/table3"]


def test_machines_and_software_that_differ_are_told(expected: Facts, found: Facts) -> None:
    assert surroundings(found, expected) == []
    on_another_cpu(found)
    found["machines"][0]["kernels"]["blas"] = "other"
    found["versions"]["torch"] = ["2.13.0+cu130"]
    assert surroundings(found, expected) == [
        "cpu_capability is AVX2 here and AVX512 there",
        "kernels.blas is other here and mkl there",
        "torch is 2.13.0+cu130 here and 2.13.0+cpu there",
    ]
