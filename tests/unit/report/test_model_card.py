"""Model cards: what the hub reads, what people read, and code that runs as it stands."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import write_model_card
from common.base.paths import ROOT
from common.config.loading import load_configuration, merge
from common.config.methods import METHODS
from common.data.prompts import PromptFormat, respond
from common.files.whole_files import read_json, write_json
from common.report import model_card
from common.report.markdown import code, plain
from common.report.model_card import public_place
from support.browser import HOSTILE
from support.model_cards import TEMPLATE, ask, card_of, checkpoint_of, code_of, rows_of, shown, tokens_of

MODEL, LLAMA = "smollm2-135m", "llama-7b"
TASKS = ("sst2", "csqa", "mnli", "copa")
SECTIONS = ["Results", "Training", "Data", "Licences", "Limits"]


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    """The demo with the optional methods, of which Table 3 alone is evaluated."""
    config = load_configuration(ROOT / "config.yaml", [], {})
    training = config["methods"]["coh"]["training"]
    methods = {"sft_best": {"training": training}, "dpo": {"training": training, "beta": 0.1}}
    return merge(config, {"methods": methods, "table5": {"methods": []}})


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return load_configuration(ROOT / "config.yaml", [ROOT / "config/paper.yaml"], {})


def hub_data(card: str) -> dict[str, Any]:
    """What the hub's own library reads at the head of a card; it must be what YAML says."""
    data = ModelCard(card).data.to_dict()
    assert data == yaml.safe_load(card.split("---\n")[1])
    return data


def headings(card: str) -> list[str]:
    tokens = tokens_of(card)
    return [shown(after) for token, after in zip(tokens, tokens[1:], strict=False) if token.type == "heading_open"]


# --- what the hub reads ---------------------------------------------------------------------------------------


def test_a_method_of_ones_own_is_named_as_in_the_tables(demo: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(model_card.ABOUT, "coh")
    card = card_of(demo, MODEL, "coh")
    assert hub_data(card)["tags"] == ["sft-rl-coh"]
    assert "after CoH" in card


@pytest.mark.parametrize("method", METHODS)
def test_the_hub_reads_base_licence_language_and_task(demo: dict[str, Any], method: str) -> None:
    data = hub_data(card_of(demo, MODEL, method))
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert data["base_model_relation"] == "finetune"
    assert data["license"] == "apache-2.0"
    assert data["language"] == ["en"]
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == ("text-classification" if method == "reward" else "text-generation")
    assert data["tags"][0] == "sft-rl-coh"
    assert len(data["tags"]) > 1


def test_the_hub_reads_every_score(demo: dict[str, Any]) -> None:
    [index] = hub_data(card_of(demo, MODEL, "coh"))["model-index"]
    assert index["name"] == "SmolLM2-135M-Instruct, CoH"
    assert [result["dataset"]["split"] for result in index["results"]] == [
        demo["tasks"][task]["source"]["eval"] for task in TASKS
    ]
    for result in index["results"]:
        assert result["task"] == {"type": "text-generation", "name": "SST2"}
        zero, one = result["metrics"]
        assert (zero["type"], zero["value"], zero["name"]) == ("accuracy", 0.75, "accuracy on SST2, k = 0")
        assert (one["value"], one["args"]["k"], one["args"]["items"]) == (0.5, 1, 4)
        low, high = zero["args"]["interval95"]
        assert low < 0.75 < high


def test_a_task_of_the_hub_is_named_with_its_revision(paper: dict[str, Any]) -> None:
    [index] = hub_data(card_of(paper, LLAMA, "sft"))["model-index"]
    source = paper["tasks"]["sst2"]["source"]
    assert index["results"][0]["dataset"] == {
        "name": f"SST2 ({source['repository']})", "type": source["repository"], "split": source["eval"],
        "revision": source["revision"],
    }  # fmt: skip


def test_tasks_whose_files_have_one_name_are_told_apart(demo: dict[str, Any]) -> None:
    files = {task: {"source": {"kind": "files", "train": "t.csv", "eval": f"/data/{task}/e.csv"}} for task in TASKS}
    [index] = hub_data(card_of(merge(demo, {"tasks": files}), MODEL, "coh"))["model-index"]
    assert [result["dataset"] for result in index["results"]] == [
        {"name": "SST2 (e.csv)", "type": "file", "config": task, "split": "e.csv"} for task in TASKS
    ]


def test_a_reward_model_is_measured_on_pairs(demo: dict[str, Any]) -> None:
    card = card_of(demo, MODEL, "reward")
    [index] = hub_data(card)["model-index"]
    [result] = index["results"]
    assert result["metrics"][0]["value"] == 0.725
    assert "Of 58 pairs of responses to 24 held-out prompts it scores the preferred one higher in 72.5 %" in card


@pytest.mark.parametrize("method", ["rl_sft", "ppo"])
def test_what_was_not_evaluated_has_no_index_but_its_reward(demo: dict[str, Any], method: str) -> None:
    card = card_of(demo, MODEL, method)
    assert not hub_data(card).keys() & {"model-index", "metrics"}
    assert "24 held-out prompts have the mean score 0.343" in card
    assert "was not evaluated" in card_of(demo, MODEL, method, samples=None)


def test_weights_of_the_paper_are_bound_by_model_and_data(paper: dict[str, Any]) -> None:
    card = card_of(paper, LLAMA, "coh")
    data = hub_data(card)
    assert data["base_model"] == "huggyllama/llama-7b"
    assert data["license"] == "other"
    assert data["license_name"] == "llama-non-commercial-and-cc-by-nc-4.0"
    assert data["license_link"] == "https://huggingface.co/huggyllama/llama-7b"
    assert "each of these licences binds whoever uses or shares them: llama-non-commercial, cc-by-nc-4.0" in card
    assert ["comparisons", "cc-by-nc-4.0"] in rows_of(card)


@pytest.mark.parametrize("place", ["models", "instructions"])
def test_a_licence_that_is_not_recorded_is_not_guessed(demo: dict[str, Any], place: str) -> None:
    local = {"models": {MODEL: {"source": {"kind": "local", "path": "/home/me/secret/weights"}}},
             "instructions": {"comparisons": {"kind": "file", "path": "/home/me/secret/pairs.json"}}}  # fmt: skip
    card = card_of(merge(demo, {place: local[place]}), MODEL, "coh")
    assert hub_data(card)["license"] == "unknown"
    assert ["base model" if place == "models" else "comparisons", "not recorded"] in rows_of(card)
    assert "find it out before you share these weights" in card
    assert "secret" not in card
    assert ("base_model" in hub_data(card)) == (place != "models")


def test_a_random_base_has_no_licence_and_its_numbers_mean_nothing() -> None:
    smoke = load_configuration(ROOT / "config.yaml", [ROOT / "config/smoke.yaml"], {})
    card = card_of(smoke, "tiny-opt", "sft", chat_template=False)
    assert hub_data(card)["license"] == "cc0-1.0"
    assert "base_model" not in hub_data(card)
    assert "all numbers on this page mean nothing" in card
    assert "The models are random and tiny; these numbers mean nothing." in card
    assert "chat template" not in card


# --- what people read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_hyper_parameter_stands_on_the_card(demo: dict[str, Any], method: str) -> None:
    block = demo["methods"][method]
    expected = {**block.get("training", block), **{key: value for key, value in block.items() if key != "training"}}
    rows = rows_of(card_of(demo, MODEL, method))
    for name, value in {**expected, "seed": 2023, "optimizer": "AdamW", "gradient_checkpointing": False}.items():
        assert [name, value if isinstance(value, str) else json.dumps(value)] in rows


def test_the_training_is_told_as_recorded(demo: dict[str, Any]) -> None:
    card = card_of(demo, MODEL, "sft")
    rows = dict(row for row in rows_of(card) if len(row) == 2)
    assert rows["Optimizer steps"] == "22"
    assert (rows["Tokens seen"], rows["Tokens seen with loss"]) == ("12,191", "6,334")
    assert rows["Sequences"] == "176"
    assert rows["Held-out data"].startswith("held-out loss 2.500 before, 2.000 after training; difference -0.500")
    assert rows["Hardware"] == "2 x a GPU; a CPU, 2 CPUs"
    assert rows["Time"] == "1:15"
    assert rows["Versions"] == "python 3.11.7, torch 2.13.0"
    assert rows["Commit of the package"] == "c" * 40
    assert "176 examples of the split `sft`, from 200 of 478 prompts" in card
    assert f"references: `{demo['instructions']['references']['path']}`, SHA-256 `{'e' * 64}`" in card
    assert "comparisons" not in card


def test_a_changed_tree_and_a_resumed_training_are_told(demo: dict[str, Any]) -> None:
    run = checkpoint_of(demo, MODEL, "sft").run
    changed = {**run, "resumed_from_step": 1200, "provenance": {**run["provenance"], "dirty": True}}
    rows = rows_of(card_of(demo, MODEL, "sft", run=changed))
    assert ["Resumed from step", "1,200"] in rows
    assert ["Commit of the package", f"{'c' * 40} with uncommitted changes"] in rows
    assert "Resumed from step" not in dict(row for row in rows_of(card_of(demo, MODEL, "sft")) if len(row) == 2)


def test_results_are_a_table(demo: dict[str, Any]) -> None:
    rows = rows_of(card_of(demo, MODEL, "coh"))
    assert ["SST2", "0", "75.0", "30.1 to 95.4", "4", "12.5"] in rows
    assert sum(row[:3] == ["SST2", "1", "50.0"] for row in rows) == 4


def test_where_items_are_from_is_told(demo: dict[str, Any]) -> None:
    notes = [shown(token) for token in tokens_of(card_of(demo, MODEL, "coh")) if token.type == "inline"]
    places = [f"{demo['tasks'][task]['source']['eval']} (SST2)" for task in TASKS]
    assert f"Items from {', '.join(places)}." in notes


def test_the_paper_is_named_as_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [quotation] = re.findall(r"(?:^> .*\n)+", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE)
    assert quotation in readme


@pytest.mark.parametrize(
    "text",
    [*HOSTILE, "# heading", "- item", "1. one", "---", "=== ", "> quoted", "| cell | `code", "```\n# out\n```",
     "[a](b)", "**bold** ~~gone~~ $x$", "a: b # c", "'\" {{ 7 * 7 }} {% raw %}", "    indented", "\ttab", "![x](y)",
     "*", "\\"],
)  # fmt: skip
def test_texts_of_users_change_neither_markdown_nor_yaml(demo: dict[str, Any], text: str) -> None:
    markers = {name: f"{name} {text}" for name in ("response", "better", "worse", "tie")}
    template = text.replace("{", "{{").replace("}", "}}") + "{instruction}"
    hostile = merge(demo, {
        "models": {MODEL: {"label": text, "note": text}},
        "prompt": {"markers": markers, "without_input": template, "with_input": template + "{input}"},
        "table3": {"notes": [text]},
    })  # fmt: skip
    usual, card = card_of(demo, MODEL, "coh"), card_of(hostile, MODEL, "coh", title=text)
    line = " ".join(text.split())
    assert hub_data(card)["model-index"][0]["name"] == f"{line}, CoH"
    assert headings(card) == [f"{line}, CoH", "How to ask it", *SECTIONS]
    notes = [shown(token) for token in tokens_of(card) if token.type == "inline"]
    assert line in notes
    kinds = [[token.type for token in tokens_of(page) if token.nesting != 0 or token.block] for page in (usual, card)]
    assert kinds[0] == kinds[1]
    html = [token.content for token in tokens_of(card) if token.type.startswith("html")]
    assert set(html) <= {"<br>"}
    compile(code_of(card), "card", "exec")
    assert all(json.dumps(markers["better"], ensure_ascii=False) in page for page in (card, code_of(card)))


@pytest.mark.parametrize("text", ["plain", "a ` b", "``", "`", "x``y`z"])
def test_code_within_a_line_is_shown_as_it_is(text: str) -> None:
    [token] = [token for token in tokens_of(f"---\n\n---\n{code(text)}") if token.type == "code_inline"]
    assert token.content == text


def test_a_number_that_begins_a_line_begins_no_list() -> None:
    assert plain("1. one") == "1\\. one"
    assert plain("1.5 nats") == "1.5 nats"
    assert plain("-0.5") == "-0.5"


def test_places_outside_the_project_are_not_told() -> None:
    assert public_place("resources/demo/sst2/train.jsonl") == "resources/demo/sst2/train.jsonl"
    assert public_place("/home/me/rows.jsonl") == "rows.jsonl"
    assert public_place("../me/rows.jsonl") == "rows.jsonl"


# --- its code -------------------------------------------------------------------------------------------------


def greedy(folder: Path, text: str, limit: int) -> str:
    """One token after the other, each from a whole forward pass."""
    import torch  # here, so that the other tests of this room load no model

    from common.models.loading import load_model, load_tokenizer

    model, tokenizer = load_model(folder, torch.float32).eval(), load_tokenizer(folder)
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + limit and (len(ids) == start or ids[-1] != tokenizer.eos_token_id):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[start:], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("prompt", [("Name a <pad></s> colour.", ""), ("Translate.", "It rains {today}.")])
@pytest.mark.parametrize("method", ["sft", "coh"])
def test_the_code_of_a_card_asks_the_model(
    demo: dict[str, Any], model_folder: Path, method: str, prompt: tuple[str, str]
) -> None:
    card = card_of(demo, MODEL, method)
    marker = "better response:" if method == "coh" else "Response:"
    text = PromptFormat.from_settings(demo["prompt"]).prompt(*prompt) + marker
    answer = ask(card, model_folder, *prompt)
    assert answer == greedy(model_folder, text, demo["table4"]["max_new_tokens"])
    assert len(answer) > 20


def test_the_code_of_a_reward_models_card_scores_responses(
    demo: dict[str, Any], model_folder: Path, tmp_path: Path
) -> None:
    import torch

    from common.models.loading import load_tokenizer
    from common.models.reward_model import load_reward_model, sequence_rewards

    torch.manual_seed(5)
    load_reward_model(model_folder, torch.float32).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(model_folder)
    tokenizer.save_pretrained(tmp_path)
    lines = ask(card_of(demo, MODEL, "reward"), tmp_path, "Give a tip.", "About sleep.").splitlines()
    responses = [line.split(" ", 1)[1] for line in lines]
    before = PromptFormat.from_settings(demo["prompt"]).prompt("Give a tip.", "About sleep.") + "Response:"
    ids = [[*tokenizer(before + respond("", text))["input_ids"], tokenizer.eos_token_id] for text in responses]
    model = load_reward_model(tmp_path, torch.float32).eval()
    rewards = sequence_rewards(model, ids, tokenizer.pad_token_id, 2, "cpu")
    assert [line.split(" ")[0] for line in lines] == [f"{reward:.4f}" for reward in rewards]
    assert len(set(rewards)) == 2


# --- the folder -----------------------------------------------------------------------------------------------


@pytest.fixture
def arguments(demo: dict[str, Any], model_folders: dict[str, Path], tmp_path: Path) -> list[str]:
    """The call of the script for a checkpoint without scores."""
    checkpoint = checkpoint_of(demo, MODEL, "sft", scores={})
    model = tmp_path / "models/sft"
    (model / "more").mkdir(parents=True)
    for file in model_folders["llama"].iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    for name in (".snakemake_timestamp", "README.md", "more/template.jinja"):
        (model / name).write_text("of the model directory")
    write_json(model / "run.json", checkpoint.run)
    write_json(tmp_path / "models/pretrained/run.json", checkpoint.base)
    write_json(tmp_path / "instructions.json", checkpoint.instructions)
    write_json(tmp_path / "manifest.json", checkpoint.splits)
    settings = {**checkpoint.settings, "tasks": [], "draws": []}
    return [
        "--settings", json.dumps(settings), "--model", str(model), "--base", str(tmp_path / "models/pretrained"),
        "--instructions", str(tmp_path / "instructions.json"), "--splits", str(tmp_path / "manifest.json"),
        "--scores", str(tmp_path / "eval"), "--template", str(TEMPLATE), "--output", str(tmp_path / "hub/sft"),
    ]  # fmt: skip


def files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_a_folder_to_share_holds_the_model_without_more_disk(arguments: list[str], tmp_path: Path) -> None:
    assert write_model_card.main(arguments) == 0
    model, shared = files_of(tmp_path / "models/sft"), files_of(tmp_path / "hub/sft")
    assert shared.keys() == (model.keys() - {".snakemake_timestamp"}) | {".gitignore"}
    linked = shared.keys() - {".gitignore", "README.md"}
    assert {name for name in linked if not shared[name].samefile(model[name])} == set()
    assert model["README.md"].read_text() == "of the model directory"
    assert ModelCard.load(shared["README.md"]).data.library_name == "transformers"
    assert shared[".gitignore"].read_text().split() == [".snakemake_timestamp"]


def test_files_are_copied_where_they_cannot_be_linked(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert write_model_card.main(arguments) == 0
    model, shared = files_of(tmp_path / "models/sft"), files_of(tmp_path / "hub/sft")
    for name in ("model.safetensors", "run.json", "more/template.jinja"):
        assert shared[name].read_bytes() == model[name].read_bytes()
        assert not shared[name].samefile(model[name])


def test_a_second_card_replaces_the_first(arguments: list[str], tmp_path: Path) -> None:
    assert write_model_card.main(arguments) == 0
    weights = (tmp_path / "models/sft/model.safetensors").read_bytes()
    run = read_json(tmp_path / "models/sft/run.json")
    (tmp_path / "models/sft/run.json").unlink()
    write_json(tmp_path / "models/sft/run.json", {**run, "steps": 4321})
    assert write_model_card.main(arguments) == 0
    assert "4,321" in (tmp_path / "hub/sft/README.md").read_text(encoding="utf-8")
    assert (tmp_path / "models/sft/model.safetensors").read_bytes() == weights


def test_a_checkpoint_without_weights_is_not_shared(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models/sft/model.safetensors").unlink()
    assert write_model_card.main(arguments) == 2
    assert "holds no weights to share" in capsys.readouterr().err
    assert not (tmp_path / "hub/sft").exists()


def test_a_missing_score_is_told(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = json.loads(arguments[1]) | {"tasks": [{"task": "sst2", "kind": "files", "eval": "x"}], "draws": [[0, 0]]}
    assert write_model_card.main(["--settings", json.dumps(settings), *arguments[2:]]) == 2
    told = capsys.readouterr().err
    assert "scores with k = 0 are missing" in told
    assert str(tmp_path / "eval/sst2") in told
