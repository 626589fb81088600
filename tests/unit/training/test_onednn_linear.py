"""Linear layers multiplied by oneDNN give the numbers and gradients of torch's own."""

import copy

import pytest
import torch

from common.training.engine import Engine
from common.training.onednn_linear import multiply_by_onednn

CPU = Engine("cpu", torch.float32, deepspeed=False, processes=1, rank=0)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (3, 5, 24), (1, 434, 24), (24, 3)])
def test_products_and_gradients_are_those_of_torch(shape: tuple[int, ...], bias: bool) -> None:
    rows = torch.randn(shape) if shape[-1] == 24 else torch.randn(shape).t()  # the last does not lie in rows
    plain = torch.nn.Linear(24, 40, bias=bias)
    layer = copy.deepcopy(plain)
    multiply_by_onednn(layer, CPU)
    found = []
    for one in (plain, layer):
        given = rows.clone().requires_grad_()
        product = one(given)
        (product.square() * torch.arange(1.0, 41.0)).sum().backward()
        found.append([product, given.grad, one.weight.grad, *([one.bias.grad] if bias else [])])
    for expected, own in zip(*found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-3)


def test_a_frozen_layer_hands_gradients_on_and_gets_none() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 3))
    model[1].requires_grad_(False)
    multiply_by_onednn(model, CPU)
    model(torch.randn(5, 4)).sum().backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert model[1].weight.grad is None


def test_other_layers_stay_as_they_are() -> None:
    class Other(torch.nn.Linear):
        pass

    model = torch.nn.Sequential(Other(4, 4), torch.nn.Linear(4, 4, dtype=torch.bfloat16), torch.nn.Linear(4, 4))
    multiply_by_onednn(model, CPU)
    assert ["forward" in vars(layer) for layer in model] == [False, False, True]
