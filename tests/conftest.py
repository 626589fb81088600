"""Fixtures of all tests, and who runs what when several processes share them. Nothing here loads torch by itself."""

import common.base.quick_start

import gc
import json
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from common.base.paths import ROOT
from support.amounts import examples

settings.register_profile("share", max_examples=examples(100))
settings.load_profile("share")

# What takes longest is begun first, so that no process is left with it at the end. The walkthrough's process makes the
# finished run meanwhile, which the others want later.
FIRST = ("cluster", "test_chaos.py", "test_walkthrough.py", "runs", "finished_run")


def pytest_collection_finish() -> None:
    """The scripts that tests import leave it off."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [name not in item.path.parts for name in FIRST])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Where a test file has loaded torch."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """Texts of the demo instructions."""
    rows = json.loads((ROOT / "resources/demo/instructions/alpaca_gpt4_data.json").read_text(encoding="utf-8"))
    return [text for row in rows for text in (row["instruction"], row["input"], row["output"])]


@pytest.fixture(scope="session")
def model_folders(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved tiny model of each family."""
    from support.tiny_models import FAMILIES, build_models

    return build_models(FAMILIES, 1000, corpus, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def wide_folders(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved model of each family that is wide enough for ZeRO-3 to partition it."""
    from support.tiny_models import WIDE, build_models

    return build_models(WIDE, 2000, corpus, tmp_path_factory.mktemp("wide"))


@pytest.fixture(params=["llama", "opt"])
def model_folder(request: pytest.FixtureRequest, model_folders: dict[str, Path]) -> Path:
    """Each family's model in turn."""
    return model_folders[request.param]
