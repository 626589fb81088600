"""DeepSpeed's hooks and `linear` step aside for generation and come back as they were."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from common.training.ppo import zero_wrappers
from common.training.ppo.zero_wrappers import without_wrappers

Calls = list[str]


def hooked_model() -> tuple[torch.nn.Module, Any, Calls]:
    """A model with hooks of DeepSpeed's kinds and one of somebody else, and an engine that knows the former."""
    model, calls = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)), Calls()

    def before(name: str) -> Any:
        return lambda module, inputs: calls.append(name)

    def after(name: str) -> Any:
        return lambda module, inputs, output: calls.append(name)

    whole = model.register_forward_pre_hook(before("reset"))
    first = [model[0].register_forward_pre_hook(before("fetch")), model[0].register_forward_hook(after("release"))]
    model[0].register_forward_hook(after("somebody's"))
    backward = [model[0].register_forward_hook(after("before backward"))]
    offload = SimpleNamespace(fwd_pre_hook=whole, forward_hooks=first, backward_hooks=backward)
    return model, SimpleNamespace(optimizer=SimpleNamespace(parameter_offload=offload)), calls


def called(model: torch.nn.Module, calls: Calls) -> Calls:
    calls.clear()
    model(torch.ones(1, 2))
    return list(calls)


@pytest.mark.parametrize("fails", [False, True])
def test_the_same_hooks_come_back_in_their_order(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper, plain = torch.nn.functional.linear, torch._C._nn.linear
    monkeypatch.setattr(zero_wrappers, "plain_linear", lambda: plain)
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *operands: wrapper(*operands))
    in_training = torch.nn.functional.linear
    model, engine, calls = hooked_model()
    everything = ["reset", "fetch", "release", "somebody's", "before backward"]
    assert called(model, calls) == everything
    for _ in range(2):
        try:
            with without_wrappers(engine):
                assert torch.nn.functional.linear is plain
                assert called(model, calls) == ["somebody's"]
                model[1].register_forward_hook(lambda module, inputs, output: calls.append("new")).remove()
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        assert torch.nn.functional.linear is in_training
        assert called(model, calls) == everything


def test_a_hook_that_generation_adds_stays() -> None:
    model, engine, calls = hooked_model()
    with without_wrappers(engine):
        model[0].register_forward_hook(lambda module, inputs, output: calls.append("added"))
    assert called(model, calls)[-1] == "added"
