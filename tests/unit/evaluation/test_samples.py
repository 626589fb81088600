"""Which prompts are answered, and the responses of two methods read back side by side."""

from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.data.prompts import PromptFormat
from common.evaluation.samples import COLUMNS, load_pair, load_stages
from common.files.parquet import write_parquet
from sample_responses import sample_prompts

PUBLISHED = ROOT / "resources/paper/table4.yaml"


def test_samples_are_the_papers_prompts_and_then_the_held_out_ones(tmp_path: Path):
    heldout = [{"id": f"h{i}", "instruction": f"Say {i}.", "input": "x" * (i % 2)} for i in range(3)]
    write_parquet(tmp_path / "heldout.parquet", heldout, ("id", "instruction", "input"))
    prompt = PromptFormat("{instruction}\n", "{instruction}\nInput: {input}\n", {"response": "Response:"})
    rows = sample_prompts(PUBLISHED, tmp_path / "heldout.parquet", prompt, "better response:")
    assert [(row["id"], row["source"]) for row in rows] == [
        ("combine-words", "paper"), ("classify-items", "paper"),
        ("h0", "heldout"), ("h1", "heldout"), ("h2", "heldout"),
    ]  # fmt: skip
    assert rows[0]["prompt"].endswith("combining them.\nInput: Wind, Rise\nbetter response:")
    assert [row["prompt"] for row in rows[2:4]] == ["Say 0.\nbetter response:", "Say 1.\nInput: x\nbetter response:"]
    assert [row["plain"] for row in rows[2:4]] == ["Say 0.\n", "Say 1.\nInput: x\n"]


def saved(path: Path, marker: str, **changes: Any) -> Path:
    """Two answered prompts that end in a marker; `changes` are of the second."""
    rows = [
        {**dict.fromkeys(COLUMNS, ""), "id": f"p{i}", "instruction": f"Do {i}", "prompt": f"Do {i}\n{marker}"}
        for i in range(2)
    ]
    rows[1] |= changes
    write_parquet(path, rows, COLUMNS)
    return path


def test_methods_with_other_markers_are_a_pair_but_no_stages(tmp_path: Path):
    first, second = saved(tmp_path / "sft.parquet", "Response:"), saved(tmp_path / "coh.parquet", "better response:")
    pairs = load_pair(first, second)
    assert [(one["id"], one["prompt"], other["prompt"]) for one, other in pairs] == [
        (f"p{i}", f"Do {i}\nResponse:", f"Do {i}\nbetter response:") for i in range(2)
    ]
    with pytest.raises(UserError, match="answered different prompts") as refused:
        load_stages(first, second)
    assert "row 1, column prompt" in refused.value.where


@pytest.mark.parametrize("column", ["id", "source", "instruction", "input"])
def test_methods_that_were_asked_other_things_are_no_pair(tmp_path: Path, column: str):
    first = saved(tmp_path / "sft.parquet", "Response:")
    second = saved(tmp_path / "coh.parquet", "Response:", **{column: "other"})
    with pytest.raises(UserError, match="answered different prompts") as refused:
        load_pair(first, second)
    assert refused.value.where == f"{first} and {second}, row 2, column {column}"
