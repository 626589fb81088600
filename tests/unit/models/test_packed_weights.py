"""Packed linear layers give the numbers of plain ones, and leave no trace."""

import pytest
import torch

from common.models.packed_weights import pack_weights, packed_weights


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 24), (5, 24), (3, 1, 24), (2, 7, 24), (130, 24)])
def test_packed_layers_multiply_as_plain_ones(shape: tuple[int, ...], bias: bool) -> None:
    layer, rows = torch.nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        plain = layer(rows)
        with packed_weights(layer):
            torch.testing.assert_close(layer(rows), plain, rtol=1e-5, atol=1e-5)
            assert "forward" in vars(layer)
        assert "forward" not in vars(layer)
        assert torch.equal(layer(rows), plain)


def test_a_layer_is_as_before_after_an_error_and_learns_again() -> None:
    model, rows = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)), torch.randn(3, 4)
    with pytest.raises(KeyError), packed_weights(model):
        raise KeyError
    model(rows).sum().backward()
    with torch.no_grad():
        model[0].weight += 1.0
    with torch.inference_mode(), packed_weights(model):
        packed = model(rows)
    torch.testing.assert_close(packed, model(rows).detach())


def test_what_is_not_fp32_or_a_class_of_its_own_stays() -> None:
    class Other(torch.nn.Linear):
        pass

    half = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    plain = torch.nn.Linear(4, 4)
    assert pack_weights(torch.nn.Sequential(half, Other(4, 4), plain)) == [plain]


def test_a_forward_pass_of_its_own_comes_back() -> None:
    layer = torch.nn.Linear(4, 4)
    layer.forward = own = torch.relu
    with packed_weights(layer):
        assert layer.forward is not own
    assert layer.forward is own
