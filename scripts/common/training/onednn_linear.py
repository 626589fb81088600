"""Linear layers multiplied by oneDNN, for models that learn in fp32 on a CPU."""

import functools
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from common.training.engine import Engine


def multiply_by_onednn(model: torch.nn.Module, engine: Engine) -> None:
    """Have all linear layers of a model multiply by oneDNN where plain torch computes on a CPU.

    torch multiplies fp32 matrices by MKL, which takes longer for the few hundred rows of a micro-batch. The gradient of
    the weights stays torch's product. With DeepSpeed, on a GPU or without oneDNN the layers stay as they are.
    """
    if engine.deepspeed or engine.device != "cpu" or not torch.backends.mkldnn.is_available():
        return
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight.dtype == torch.float32:
            layer.forward = functools.partial(_forward, layer)  # type: ignore[method-assign]


def _forward(layer: torch.nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = _Product.apply(rows, layer.weight, layer.bias)
    return product


class _Product(torch.autograd.Function):
    """rows @ weight.T + bias, of shapes (..., K), (N, K) and (N,)."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_rows, to_weight, to_bias = ctx.needs_input_grad
        flat = gradient.reshape(-1, weight.shape[0])
        return (
            _multiply(gradient, weight.t(), None) if to_rows else None,
            flat.t() @ rows.reshape(-1, weight.shape[1]) if to_weight else None,
            flat.sum(dim=0) if to_bias else None,
        )


def _multiply(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product
