"""The plain forward pass of a model that DeepSpeed ZeRO-3 trains: for generation, while its weights are whole."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def without_wrappers(engine: Any) -> Iterator[None]:
    """Take DeepSpeed's hooks off the model and its wrapper off torch's `linear`; the same come back at the end.

    The hooks would gather every layer for every token, and in the one before the whole model's pass all processes
    wait for each other, also for one that has nothing to generate. The wrapper, a Python autograd function that
    `zero.Init` puts in the place of `linear` for good, takes more than half of the host's time per token; training
    needs it, because it keeps no whole weight for the backward pass. Registering new hooks, as TRL's `add_hooks` does,
    would make DeepSpeed forget the order in which it fetches layers ahead of time.

    Args:
        engine: of a model that is trained under ZeRO-3.
    """
    wrapper = torch.nn.functional.linear
    with _without_hooks(engine.optimizer.parameter_offload):
        torch.nn.functional.linear = plain_linear()
        try:
            yield
        finally:
            torch.nn.functional.linear = wrapper


def plain_linear() -> Any:
    """torch's own `linear`, which `zero.Init` keeps."""
    from deepspeed.runtime.zero.partition_parameters import InsertPostInitMethodToModuleSubClasses

    return getattr(InsertPostInitMethodToModuleSubClasses, "linear_bk", torch.nn.functional.linear)


@contextlib.contextmanager
def _without_hooks(offload: Any) -> Iterator[None]:
    """Each module's hooks without DeepSpeed's, and afterwards again all in the order they had."""
    handles = [offload.fwd_pre_hook, *offload.forward_hooks, *offload.backward_hooks]
    kept = {id(hooks): (hooks, dict(hooks)) for handle in handles if (hooks := handle.hooks_dict_ref()) is not None}
    for handle in handles:
        hooks = handle.hooks_dict_ref()
        if hooks is not None:
            hooks.pop(handle.id, None)
    try:
        yield
    finally:
        for hooks, before in kept.values():
            added = {key: hook for key, hook in hooks.items() if key not in before}
            hooks.clear()
            hooks.update({**before, **added})
