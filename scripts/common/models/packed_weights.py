"""Linear layers that read their weights in oneDNN's own layout, for a model on a CPU that only answers."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch


def pack_weights(model: torch.nn.Module) -> list[torch.nn.Linear]:
    """Pack the weights of all linear layers of a model, which must not change any more; the layers.

    A decoding step multiplies a few rows with every weight of the model. BLAS rearranges each weight for every such
    product, which takes longer than the product; the packed copy is arranged once, in a tenth of a second per 100
    million parameters. It takes the weights' memory once more. On a GPU, or without oneDNN, nothing changes.
    """
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear and _packable(module.weight)]
    for layer in layers:
        layer.forward = _packed(layer)  # type: ignore[assignment, method-assign]
    return layers


@contextlib.contextmanager
def packed_weights(model: torch.nn.Module) -> Iterator[None]:
    """The same for the duration of the block."""
    before = {module: vars(module).get("forward") for module in model.modules()}
    try:
        pack_weights(model)
        yield
    finally:
        for module, forward in before.items():
            if forward is not None:
                module.forward = forward
            elif "forward" in vars(module):
                del module.forward


def _packable(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()


@torch.no_grad()
def _packed(layer: torch.nn.Linear) -> Callable[[torch.Tensor], Any]:
    """The layer's forward pass, by the operation that torch's compiler puts in its place."""
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
    bias = layer.bias

    def forward(rows: torch.Tensor) -> Any:
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")

    return forward
