"""Fixtures: tiny random models with the tokenizers of their families."""

import json
from pathlib import Path

import pytest
import torch
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from common.models.loading import save_model
from common.models.sources import from_random, separate_padding
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


# Test files that read the finished run; one process takes them all, so that the run is made once.
READERS = {"test_archives.py", "test_cells.py", "test_snakemake_report.py", "test_workflow.py"}
# Files of more than a few minutes; they are begun first, so that no process is left with one at the end.
LONG = ("test_slurm.py", *sorted(READERS), "test_chaos.py", "test_training.py", "test_dpo.py", "test_rl_runs.py")


class FileScheduling(LoadFileScheduling):
    """Processes share the tests file by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "finished" if Path(file).name in READERS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    # Groups by marker, which the plugin has, are not seen by this version of pytest.
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


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
