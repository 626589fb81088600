"""Tables 2 and 4 from the files of a run: values, escaping, and the comparison of both stages."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import render_table2
import render_table4
from common.base.paths import ROOT
from common.evaluation.samples import COLUMNS
from common.files.parquet import write_parquet
from common.files.whole_files import write_json
from support.read_tables import Page, markdown_page, read_latex

LABELS = {"actor": "Actor <1>", "reward": "Reward & co"}
HOSTILE = "a|b <script>alert(1)</script> $x^2$ ~gone~ \\frac{1}{2} `code`\r\n*star* <br> 100 % #1\rend &amp; \\| [x](y)"
SHOWN = HOSTILE.replace("\r\n", "\n").replace("\r", "\n")
PUBLISHED = ROOT / "resources/paper/table4.yaml"


def training(**values: Any) -> dict[str, Any]:
    return {"training": {"schedule": "cosine", "warmup_ratio": 0.03, "betas": [0.9, 0.999], **values}}


def write_runs(models: Path, actor: str, reward: str, updates: int = 1) -> None:
    """The run.json of each stage, with Table 2's published values."""
    ppo = {
        "epochs": 1, "actor_learning_rate": 9e-6, "critic_learning_rate": 1e-5, "global_batch_size": 8,
        "max_grad_norm": 1, "kl_beta": 0.02, "clip_reward": 5, "clip_range": 0.2, "clip_range_value": 0.3, "gamma": 1,
        "lambda": 0.95, "schedule": "linear", "warmup_ratio": 0.1, "betas": [0.9, 0.95],
        "updates_per_rollout": updates, "temperature": 0.7, "max_new_tokens": 256,
    }  # fmt: skip
    runs = {
        f"{actor}/rl_sft": training(epochs=5, learning_rate=2e-5, global_batch_size=32, max_grad_norm=1),
        f"{reward}/reward": training(epochs=1, learning_rate=5e-5, global_batch_size=16, max_grad_norm=0.5),
        f"{actor}/ppo": {"ppo": ppo},
    }
    for folder, settings in runs.items():
        write_json(models / folder / "run.json", {"provenance": {"settings": settings}})


def table2(tmp_path: Path, actor: str, reward: str, updates: int = 1) -> Path:
    write_runs(tmp_path / "models", actor, reward, updates)
    settings = json.dumps({"actor": actor, "reward": reward, "labels": LABELS})
    out = tmp_path / "tables"
    assert render_table2.main(["--settings", settings, "--models", str(tmp_path / "models"), "--output", str(out)]) == 0
    return out


def read_csv(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(("actor", "reward"), [("big", "small"), ("one", "one")])
def test_table_2_shows_what_the_runs_used(tmp_path: Path, actor: str, reward: str):
    out = table2(tmp_path, actor, reward)
    header, *rows = read_csv(out / "table2.csv")
    assert header == ["hyper_parameter", f"{actor}/rl_sft", f"{reward}/reward", f"{actor}/ppo"]
    expected = {
        "Epochs": ["5", "1", "1"], "Learning rate": ["2e-05", "5e-05", "9e-06, 1e-05"],
        "Total batch size": ["32", "16", "8"], "Gradient clipping": ["1", "0.5", "1"], "KL beta": ["-", "-", "0.02"],
        "Clip reward": ["-", "-", "5"], "Clip range": ["-", "-", "0.2"], "gamma": ["-", "-", "1"],
        "lambda": ["-", "-", "0.95"], "Schedule": ["cosine", "cosine", "linear"],
        "Warm-up ratio": ["0.03", "0.03", "0.1"], "AdamW betas": ["0.9, 0.999", "0.9, 0.999", "0.9, 0.95"],
        "Updates per rollout": ["-", "-", "1"], "Sampling temperature": ["-", "-", "0.7"],
        "Longest response (tokens)": ["-", "-", "256"],
    }  # fmt: skip
    assert {row[0]: row[1:] for row in rows} == expected
    for page in (Page((out / "table2.html").read_text()), markdown_page((out / "table2.md").read_text())):
        assert page.rows[1:] == rows
        assert page.rows[0] == ["Hyper-parameter", "Stage 1 (SFT)", "Stage 2 (RM)", "Stage 3 (RL)"]
    cells = {row[0]: row[1:] for row in read_csv(out / "table2_cells.csv")[1:]}
    assert len(cells) == 3 * len(expected)
    source = f"models/{actor}/ppo/run.json"
    name = f"table2/learning_rate/{actor}/ppo"
    assert cells[name] == ["table2", "learning_rate", f"{actor}/ppo", "9e-06, 1e-05", "", "", source]
    assert cells[f"table2/kl_beta/{actor}/rl_sft"][3] == "-"
    assert cells[f"table2/max_grad_norm/{reward}/reward"][3] == "0.5"


@pytest.mark.parametrize("updates", [1, 4])
def test_table_2_says_so_when_the_clip_range_binds_nothing(tmp_path: Path, updates: int):
    page = (table2(tmp_path, "a", "b", updates) / "table2.html").read_text()
    assert ("the clip range has no effect" in page) == (updates == 1)
    assert "Actor &lt;1&gt;" in page


def test_table_2_without_a_run_is_an_error_that_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_runs(tmp_path / "models", "a", "b")
    (tmp_path / "models/a/ppo/run.json").unlink()
    settings = json.dumps({"actor": "a", "reward": "b", "labels": LABELS})
    arguments = ["--settings", settings, "--models", str(tmp_path / "models"), "--output", str(tmp_path / "out")]
    assert render_table2.main(arguments) == 2
    assert "models/a/ppo/run.json" in capsys.readouterr().err


def make_samples(heldout: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Both stages' samples: the paper's prompts and held-out ones, with hostile responses and drawn rewards."""
    rng = random.Random(seed)
    prompts = [(example["id"], "paper") for example in yaml.safe_load(PUBLISHED.read_text())["examples"]]
    prompts += [(f"held{i}", "heldout") for i in range(heldout)]
    return {
        method: [
            {"id": key, "source": source, "instruction": "Do it.", "input": "", "prompt": f"Do it, {key}.\nResponse:",
             "response": f"{HOSTILE} {method} {key}", "tokens": 9, "finish": "eos", "reward": rng.gauss(mean, 1)}
            for key, source in prompts
        ]
        for method, mean in (("rl_sft", 0.0), ("ppo", 0.4))
    }  # fmt: skip


def table4(tmp_path: Path, samples: dict[str, list[dict[str, Any]]], examples: int = 2) -> tuple[int, Path]:
    for method, rows in samples.items():
        write_parquet(tmp_path / f"{method}.parquet", rows, COLUMNS)
    accuracy = {"accuracy": 0.6875, "interval95": [0.51, 0.8125], "pairs": 64}
    write_json(tmp_path / "reward/run.json", {"heldout_pairs": accuracy})
    settings = json.dumps({"actor": "big", "reward": "small", "labels": LABELS, "examples": examples})
    arguments = ["--settings", settings, "--samples", *(str(tmp_path / f"{m}.parquet") for m in ("rl_sft", "ppo")),
                 "--reward", str(tmp_path / "reward"), "--published", str(PUBLISHED),
                 "--output", str(tmp_path / "tables")]  # fmt: skip
    return render_table4.main(arguments), tmp_path / "tables"


def slow_interval(differences: list[float], seed: int) -> tuple[float, float]:
    """Percentiles of the mean difference over prompts drawn with replacement."""
    generator, means = np.random.default_rng(seed), []
    for _ in range(20):
        for draw in generator.integers(0, len(differences), size=(500, len(differences))).tolist():
            means.append(sum(differences[i] for i in draw) / len(draw))
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def test_table_4_compares_both_stages_prompt_by_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    samples = make_samples(30, seed=1)
    code, out = table4(tmp_path, samples)
    assert code == 0
    rewards = {
        method: [row["reward"] for row in rows if row["source"] == "heldout"] for method, rows in samples.items()
    }
    differences = [b - a for a, b in zip(rewards["rl_sft"], rewards["ppo"], strict=True)]
    low, high = slow_interval(differences, seed=0)
    said = f"{sum(differences) / 30:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, 30 prompts)"
    assert f"stage 3 minus stage 1: {said}" in capsys.readouterr().err
    page = (out / "table4.html").read_text()
    assert f"{sum(differences) / 30:+.3f} (95 % interval {low:+.3f} to {high:+.3f})" in page
    assert "68.8 % of 64 held-out pairs (95 % interval 51.0 to 81.2)" in page
    cells = {row[0]: row[1:] for row in read_csv(out / "table4_cells.csv")[1:]}
    for name, values in {**rewards, "difference": differences}.items():
        mean = sum(values) / 30
        spread = (sum((value - mean) ** 2 for value in values) / 29) ** 0.5 / 30**0.5
        assert cells[f"table4/big/{name}"] == [
            "table4", "big", name, f"{mean:.4f}", f"{spread:.4f}", "30",
            "samples/big/rl_sft.*;samples/big/ppo.*",
        ]  # fmt: skip
    assert cells["table4/small/pair_accuracy"][3:] == ["68.7500", "", "64", "models/small/reward/run.json"]


def test_table_4_shows_model_text_as_it_is_in_every_rendering(tmp_path: Path):
    code, out = table4(tmp_path, make_samples(5, seed=2), examples=2)
    assert code == 0
    examples = yaml.safe_load(PUBLISHED.read_text())["examples"]
    expected = []
    for example in examples:
        expected.append([f"Do it, {example['id']}.\nResponse:", "published", example["rl_sft"], example["ppo"]])
        expected.append(["", "ours", f"{SHOWN} rl_sft {example['id']}", f"{SHOWN} ppo {example['id']}"])
    expected += [
        [f"Do it, held{i}.\nResponse:", "ours", f"{SHOWN} rl_sft held{i}", f"{SHOWN} ppo held{i}"] for i in range(2)
    ]
    html_page, markdown = (out / "table4.html").read_text(), (out / "table4.md").read_text()
    for page in (Page(html_page), markdown_page(markdown)):
        found = [[cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row] for row in page.rows]
        assert found[0] == ["Prompt", "Source", "Stage 1 (SFT)", "Stage 3 (RL)"]
        assert found[1:-1] == expected
        assert found[-1][0] == "Mean reward of 5 held-out prompts"
        assert "script" not in page.tags
    # Where `$` opens a formula and `~` strikes out.
    assert not {"$", "~"} & set(markdown.replace("\\$", "").replace("\\~", ""))
    body = (out / "table4.tex").read_text().split("\\midrule\n")[1].split("\\bottomrule")[0]
    rows = [line.split(" & ") for line in body.split(" \\\\\n") if line]
    for row, wanted in zip(rows, expected, strict=False):
        assert [read_latex(cell).split() for cell in row] == [cell.split() for cell in wanted]
    assert len(rows) == len(expected) + 1
    with open(out / "table4.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[2][2] == f"{HOSTILE} rl_sft {examples[0]['id']}"


@pytest.mark.parametrize("change", ["order", "prompt", "missing"])
def test_stages_that_answered_different_prompts_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
):
    samples = make_samples(4, seed=3)
    if change == "order":
        samples["ppo"] = samples["ppo"][::-1]
    elif change == "prompt":
        samples["ppo"][3]["prompt"] += " "
    else:
        samples["ppo"] = samples["ppo"][:-1]
    code, out = table4(tmp_path, samples)
    assert code == 2
    told = "6 responses of one method face 5 of the other" if change == "missing" else "answered different prompts"
    assert told in capsys.readouterr().err
    assert not (out / "table4.md").exists()
