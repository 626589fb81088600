"""Base models from directories of other people: refused, in three lines, where they are not whole."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import prepare_model
from common.base.errors import UserError
from common.models.checkpoints import check_files, load_checkpoint

Tensors = dict[str, torch.Tensor]
LAST = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def model(model_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A model of one's own to damage."""
    return shutil.copytree(model_folders["llama"], tmp_path / "mine")


def change(model: Path, edit: Callable[[Tensors], Tensors]) -> None:
    file = model / "model.safetensors"
    save_file(edit(load_file(file)), file, metadata={"format": "pt"})


def configure(model: Path, **values: Any) -> None:
    file = model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_whole_checkpoint_is_loaded_as_it_is(model: Path) -> None:
    loaded, tokenizer = load_checkpoint(model)
    stored = load_file(model / "model.safetensors")
    found = loaded.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())
    assert len(tokenizer) == 1000


def test_what_older_versions_stored_beside_the_weights_is_no_fault(model: Path) -> None:
    change(model, lambda w: {**w, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    load_checkpoint(model)


@pytest.mark.parametrize("look", [load_checkpoint, check_files])
def test_a_pointer_of_git_lfs_is_told_from_weights(model: Path, look: Callable[[Path], Any]) -> None:
    file = model / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(UserError, match="a pointer of Git LFS") as caught:
        look(model)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("look", [load_checkpoint, check_files])
@pytest.mark.parametrize("cut", [lambda whole: whole[:-10], lambda whole: whole[:100], lambda whole: b""])
def test_a_file_of_weights_that_is_cut_off_is_named(
    model: Path, look: Callable[[Path], Any], cut: Callable[[bytes], bytes]
) -> None:
    file = model / "model.safetensors"
    file.write_bytes(cut(file.read_bytes()))
    with pytest.raises(UserError, match="a file of weights is not whole") as caught:
        look(model)
    assert caught.value.where == str(file)


def test_fewer_embeddings_than_tokens_are_told_before_anything_is_read(model: Path) -> None:
    configure(model, vocab_size=900)
    with pytest.raises(UserError, match="has id 999, the model's embeddings have 900 rows"):
        check_files(model)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_tensors_of_a_wrapped_model_are_refused_with_what_stands_before_their_names(model: Path, prefix: str) -> None:
    change(model, lambda w: {prefix + name: tensor for name, tensor in w.items()})
    with pytest.raises(UserError, match="the tensors are named with") as caught:
        load_checkpoint(model)
    assert f"`{prefix}`" in caught.value.what
    assert caught.value.where.startswith(str(model / "model.safetensors"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda w: {name: tensor for name, tensor in w.items() if name != LAST}, f"the weights lack {LAST}"),
        (lambda w: {name: tensor for name, tensor in w.items() if "lm_head" not in name}, "lack lm_head.weight"),
        (lambda w: {**w, "v_head.summary.weight": torch.ones(1, 32)}, "hold v_head.summary.weight"),
        (lambda w: {**w, "model.layers.2.mlp.up_proj.weight": torch.ones(64, 32)}, "hold model.layers.2.mlp.up_proj"),
        (lambda w: {**w, LAST: torch.ones(32, 63)}, rf"tensor {LAST} is \[32, 63\] in the weights and \[32, 64\]"),
        (lambda w: {**w, LAST: w[LAST] * float("nan")}, f"tensor {LAST} holds values that are not finite"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_by_name(
    model: Path, edit: Callable[[Tensors], Tensors], words: str
) -> None:
    change(model, edit)
    with pytest.raises(UserError, match=words) as caught:
        load_checkpoint(model)
    assert str(model) in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vocab_size": 1001}, r"\[1000, 32\] in the weights and \[1001, 32\] by config.json"),
        ({"num_hidden_layers": 1}, "hold model.layers.1"),
        ({"num_hidden_layers": 3}, "lack model.layers.2"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantised \(gptq\)"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            r"quantised \(bitsandbytes\)",
        ),
        ({"model_type": "no-such-model"}, "no model can be loaded"),
        ({"hidden_size": "wide"}, "no model can be loaded"),
    ],
)
def test_a_configuration_of_another_model_is_refused(model: Path, values: dict[str, Any], words: str) -> None:
    configure(model, **values)
    with pytest.raises(UserError, match=words):
        load_checkpoint(model)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_the_weights_is_refused(model: Path, name: str) -> None:
    (model / name).write_text("{}")
    with pytest.raises(UserError, match="an adapter lies in the model's directory") as caught:
        load_checkpoint(model)
    assert caught.value.where == str(model / name)
    assert "merge" in caught.value.remedy


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000]),
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0"}'),
        lambda folder: (folder / "tokenizer_config.json").write_text("[]"),
    ],
)
def test_damaged_files_end_the_job_with_three_lines(
    model: Path, tmp_path: Path, damage: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    damage(model)
    settings = json.dumps({"source": {"kind": "local", "path": str(model)}})
    arguments = ["--settings", settings, "--files", str(model), "--output", str(tmp_path / "out")]
    assert prepare_model.main(arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    error = next(i for i, line in enumerate(lines) if line.startswith("error: "))
    assert lines[error + 1].startswith(f"  where: {model}")
    assert lines[error + 2].startswith("  what to do: ")
    assert not (tmp_path / "out").exists()
