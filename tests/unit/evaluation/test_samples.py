"""Which prompts are answered for Table 4."""

from pathlib import Path

from common.base.paths import ROOT
from common.data.prompts import PromptFormat
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
