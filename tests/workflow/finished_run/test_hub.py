"""What is ready for the hub: every trained checkpoint, whole, with a card whose code gives the run's own answers."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from common.evaluation.samples import load_samples
from common.files.whole_files import read_json
from support.model_cards import ask, rows_of
from support.workflow_runs import SMOKE, snakemake

TRAINED = [f"{model}/{method}" for model in ("tiny-llama", "tiny-opt") for method in ("sft", "coh")]
TRAINED += ["tiny-opt-actor/rl_sft", "tiny-opt/reward", "tiny-opt-actor/ppo"]


def test_every_trained_checkpoint_is_ready(finished: Path) -> None:
    hub = finished / "results/smoke/hub"
    assert {path.parent.relative_to(hub).as_posix() for path in hub.glob("*/*/README.md")} == set(TRAINED)


@pytest.mark.parametrize("name", TRAINED)
def test_a_folder_is_loaded_as_from_the_hub_and_takes_no_disk(finished: Path, name: str) -> None:
    folder, model = (finished / "results/smoke" / room / name for room in ("hub", "models"))
    kind = AutoModelForSequenceClassification if name.endswith("reward") else AutoModelForCausalLM
    _, missing = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert not any(missing.values())
    assert AutoTokenizer.from_pretrained(folder, local_files_only=True).eos_token_id is not None
    files = [path.relative_to(model) for path in model.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert {"model.safetensors", "run.json", "config.json"} <= {path.name for path in files}
    assert [path for path in files if not (folder / path).samefile(model / path)] == []


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_says_what_the_run_recorded(finished: Path, name: str) -> None:
    results = finished / "results/smoke"
    card, run = ModelCard.load(results / "hub" / name / "README.md"), read_json(results / "models" / name / "run.json")
    rows = rows_of(str(card))
    assert ["Optimizer steps", f"{run['steps']:,}"] in rows
    settings = run["provenance"]["settings"]
    rates = {key: value for block in settings.values() if isinstance(block, dict) for key, value in block.items()}
    assert all([key, str(rates[key])] in rows for key in rates if key.endswith("learning_rate"))
    found = {(result.task_name, result.metric_args["k"]): result for result in card.data.eval_results or []
             if "k" in result.metric_args}  # fmt: skip
    assert len(found) == (12 if name.endswith(("sft", "coh")) and "actor" not in name else 0)
    for (task, k), result in found.items():
        scores = [read_json(path) for path in (results / "eval" / name / task.lower()).glob(f"k{k}_seed*.json")]
        assert result.metric_value == round(sum(score["accuracy"] for score in scores) / len(scores), 4)


@pytest.mark.parametrize("stage", ["rl_sft", "ppo"])
def test_the_code_of_a_card_answers_as_the_run_did(finished: Path, stage: str) -> None:
    results = finished / "results/smoke"
    folder, rows = (
        results / "hub/tiny-opt-actor" / stage,
        load_samples(results / f"samples/tiny-opt-actor/{stage}.parquet"),
    )
    card = (folder / "README.md").read_text(encoding="utf-8")
    for row in rows[:3]:
        assert ask(card, folder, row["instruction"], row["input"]) == row["response"]


def test_a_lost_score_is_made_again_for_a_card(finished: Path) -> None:
    lost = finished / "results/smoke/eval/tiny-opt/coh/mnli/k1_seed2.parquet"
    aside = lost.with_suffix(".aside")
    lost.rename(aside)
    try:
        card = "results/smoke/hub/tiny-opt/coh"
        output = snakemake(finished, card, "--dry-run", "--configfile", SMOKE)
    finally:
        aside.rename(lost)
    assert output.count("\nrule evaluate_task:") == 1
    assert output.count("rule write_model_card:") == 1
