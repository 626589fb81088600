"""What the plan says of other people's models: architectures it knows or not, files and roles that cannot work."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.planning.basis import Basis
from common.planning.hardware import load_assumptions, load_gpu
from common.planning.model_checks import check_models
from common.planning.model_shapes import find_shape, shape_of
from common.planning.planner import plan_jobs
from support.architectures import configuration

NOWHERE = Path("/nonexistent")


def with_models(**paths: Path) -> dict[str, Any]:
    """The smoke preset over local models, the first the actor, the last the reward model."""
    models = {name: {"label": name, "source": {"kind": "local", "path": str(path)}} for name, path in paths.items()}
    names = list(paths)
    overlay = {
        "models": models,
        "rl": {"actor": names[0], "reward": names[-1]},
        "table3": {"models": names, "notes": []},
        "table5": {"models": None},
    }
    return load_configuration(ROOT / "config.yaml", [ROOT / "config/smoke.yaml"], overlay)


def basis(architecture: str) -> Basis:
    config = with_models(mine=NOWHERE)
    assumed = {name: entry.value for name, entry in load_assumptions().items()}
    made = Basis(
        config=config, gpu=load_gpu(config["compute"]["gpu_type"]), assumed=assumed, results=NOWHERE, find=find_shape
    )
    for kind in ("language", "reward"):
        made.shapes["mine", kind] = shape_of("mine", configuration(architecture), kind)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "bloom", "mpt", "falcon", "gpt_neo", "gptj", "stablelm"])
def test_other_architectures_are_planned(architecture: str) -> None:
    jobs = list(plan_jobs(basis(architecture)))
    assert len(jobs) == 7
    assert all(job.memory.total > 0 and job.flops > 0 for job in jobs)


def test_a_model_without_attention_keeps_no_keys_and_values() -> None:
    assert shape_of("mine", configuration("mamba")).cache_width == 0
    assert shape_of("mine", configuration("llama")).cache_width == 2 * 2 * 4 * 16


@pytest.mark.parametrize("architecture", ["mamba", "codegen", "xglm", "ctrl", "bart"])
def test_a_reward_model_that_there_is_not_is_told_with_its_role(architecture: str) -> None:
    with pytest.raises(UserError, match=rf"no reward model of this architecture \({architecture}\)") as caught:
        shape_of("mine", configuration(architecture), "reward")
    assert caught.value.where == "rl.reward: mine"


def test_an_architecture_the_plan_does_not_know_is_named() -> None:
    with pytest.raises(UserError, match=r"the plan does not know this architecture \(llama\)"):
        list(plan_jobs(basis("llama:dynamic")))


def test_files_and_roles_are_looked_at_before_anything_runs(model_folders: dict[str, Path], tmp_path: Path) -> None:
    llama, opt = (model_folders[family] for family in ("llama", "opt"))
    check_models(with_models(actor=llama, reward=llama), NOWHERE)
    check_models(with_models(actor=NOWHERE, reward=llama), NOWHERE)  # what is not here yet is looked at when prepared
    with pytest.raises(UserError, match="actor and reward have different vocabularies"):
        check_models(with_models(actor=llama, reward=opt), NOWHERE)
    several = with_models(actor=llama, other=opt, reward=llama)
    check_models(several, NOWHERE)
    several["rl"]["reward_models"] = {"other": "reward"}
    with pytest.raises(UserError, match="other and reward have different vocabularies") as refused:
        check_models(several, NOWHERE)
    assert refused.value.where == "rl.actor and rl.reward, or rl.reward_models"
    adapted = shutil.copytree(llama, tmp_path / "adapted")
    (adapted / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="an adapter lies"):
        check_models(with_models(actor=adapted, reward=llama), NOWHERE)
    quantised = shutil.copytree(llama, tmp_path / "quantised")
    settings = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps({**settings, "quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(UserError, match=r"quantised \(awq\)"):
        check_models(with_models(actor=quantised, reward=llama), NOWHERE)
    empty = shutil.copytree(llama, tmp_path / "empty")
    (empty / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer can be loaded"):
        check_models(with_models(actor=empty, reward=llama), NOWHERE)
