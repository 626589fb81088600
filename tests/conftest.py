"""Fixtures: tiny random models with the tokenizers of their families."""

import json
from pathlib import Path

import pytest
import torch

from common.models import from_random, save_model, separate_padding
from workflow_runs import ROOT, SMOKE, copy_project, snakemake

FAMILIES = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": False,
              "initializer_range": 0.1},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "dropout": 0.0,
            "word_embed_proj_dim": 16, "do_layer_norm_before": False, "max_position_embeddings": 1024, "init_std": 0.2},
}  # fmt: skip
# Embedding, head and MLP have more elements than DeepSpeed leaves whole on every process (1e5): ZeRO-3 parts them.
WIDE = {
    "llama": {**FAMILIES["llama"], "hidden_size": 128, "intermediate_size": 1024},
    "opt": {**FAMILIES["opt"], "hidden_size": 128, "ffn_dim": 1024, "word_embed_proj_dim": 64},
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes share the tests file by file; files that read the finished run stay together: it is made once."""
    readers = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("finished" if item.path in readers else item.path.stem))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """Texts of the demo instructions."""
    rows = json.loads((ROOT / "resources/demo/instructions/alpaca_gpt4_data.json").read_text(encoding="utf-8"))
    return [text for row in rows for text in (row["instruction"], row["input"], row["output"])]


def build_models(configs: dict[str, dict], vocabulary: int, corpus: list[str], folder: Path) -> dict[str, Path]:
    """A saved random model of each family."""
    folders = {}
    for family, config in configs.items():
        source = {"architecture": family, "vocabulary": vocabulary, "config": config}
        model, tokenizer = from_random(source, corpus, seed=3)
        separate_padding(model, tokenizer)
        folders[family] = folder / family
        save_model(model, tokenizer, folders[family])
    return folders


@pytest.fixture(scope="session")
def model_folders(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved tiny model of each family."""
    return build_models(FAMILIES, 1000, corpus, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def wide_folders(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved model of each family that is wide enough for ZeRO-3 to partition it."""
    return build_models(WIDE, 2000, corpus, tmp_path_factory.mktemp("wide"))


@pytest.fixture(params=sorted(FAMILIES))
def model_folder(request: pytest.FixtureRequest, model_folders: dict[str, Path]) -> Path:
    """Each family's model in turn."""
    return model_folders[request.param]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the smoke preset has run; once for all tests."""
    project = copy_project(tmp_path_factory.mktemp("run") / "project")
    snakemake(project, "--configfile", SMOKE)
    return project
