"""What is ready for the hub: every trained checkpoint, whole, with a card whose code gives the run's own answers."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.selection import checkpoints, evaluated, sampled
from common.evaluation.samples import load_samples
from common.files.whole_files import read_json
from support.model_cards import ask, rows_of
from support.workflow_runs import SMOKE, snakemake

RESULTS = Path("results/smoke")
CONFIG = load_configuration(ROOT / "config.yaml", [ROOT / SMOKE], {})
TRAINED = ["/".join(pair) for pair in checkpoints(CONFIG) if pair[1] != "pretrained"]
EVALUATED = ["/".join(pair) for pair in evaluated(CONFIG)]
ANSWERED = ["/".join(pair) for pair in sampled(CONFIG) if pair[1] != "pretrained"]


def test_every_trained_checkpoint_is_ready(finished: Path) -> None:
    hub = finished / RESULTS / "hub"
    assert {path.parent.relative_to(hub).as_posix() for path in hub.glob("*/*/README.md")} == set(TRAINED)
    assert {name.split("/")[1] for name in TRAINED} >= {"sft", "coh", "rl_sft", "reward", "ppo"}


@pytest.mark.parametrize("name", TRAINED)
def test_a_folder_is_loaded_as_from_the_hub_and_takes_no_disk(finished: Path, name: str) -> None:
    folder, model = (finished / RESULTS / room / name for room in ("hub", "models"))
    kind = AutoModelForSequenceClassification if name.endswith("reward") else AutoModelForCausalLM
    _, problems = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert not any(problems.values())
    assert AutoTokenizer.from_pretrained(folder, local_files_only=True).eos_token_id is not None
    files = [path.relative_to(model) for path in model.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert {"model.safetensors", "run.json", "config.json"} <= {path.name for path in files}
    assert [path for path in files if not (folder / path).samefile(model / path)] == []


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_says_what_the_run_recorded(finished: Path, name: str) -> None:
    results = finished / RESULTS
    card, run = ModelCard.load(results / "hub" / name / "README.md"), read_json(results / "models" / name / "run.json")
    assert ["Optimizer steps", f"{run['steps']:,}"] in rows_of(str(card))
    scores = {(one.task_name, one.metric_args["k"]): one.metric_value for one in card.data.eval_results or []
              if "k" in one.metric_args}  # fmt: skip
    assert len(scores) == (12 if name in EVALUATED else 0)
    for (title, k), value in scores.items():
        runs = [read_json(path) for path in (results / "eval" / name / title.lower()).glob(f"k{k}_seed*.json")]
        assert value == round(sum(one["accuracy"] for one in runs) / len(runs), 4)


@pytest.mark.parametrize("name", ANSWERED)
def test_the_code_of_a_card_answers_as_the_run_did(finished: Path, name: str) -> None:
    folder = finished / RESULTS / "hub" / name
    rows = load_samples(finished / RESULTS / f"samples/{name}.parquet")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert any(row["input"] for row in rows)
    for row in rows:
        assert ask(card, folder, row["instruction"], row["input"]) == row["response"]


def test_a_lost_score_is_made_again_for_a_card(finished: Path) -> None:
    lost = finished / RESULTS / "eval/tiny-opt/coh/mnli/k1_seed2.parquet"
    aside = lost.with_suffix(".aside")
    lost.rename(aside)
    try:
        output = snakemake(finished, str(RESULTS / "hub/tiny-opt/coh"), "--dry-run", "--configfile", SMOKE)
    finally:
        aside.rename(lost)
    assert output.count("\nrule evaluate_task:") == 1
    assert output.count("rule write_model_card:") == 1
