"""A model that PPO trains, or keeps frozen, behind one interface for plain torch and DeepSpeed ZeRO-3."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, get_scheduler
from transformers.integrations import HfDeepSpeedConfig

from common.base.errors import UserError
from common.files.whole_files import read_json, write_json
from common.training.engine import Engine, deepspeed_config
from common.training.onednn_linear import multiply_by_onednn
from common.training.ppo.zero_wrappers import without_wrappers

_DROPOUT = ("dropout", "attention_dropout", "activation_dropout", "layerdrop")


@dataclass(frozen=True)
class Optimization:
    """How a learner is updated.

    Attributes:
        learning_rate: peak.
        schedule: name of transformers' schedule.
        warmup_steps: steps of warm-up.
        steps: optimizer steps over all.
        betas: of AdamW.
        max_grad_norm: gradient clipping.
        per_device: sequences a process holds at once.
        accumulation: micro-batches to a step.
        offload: what DeepSpeed keeps in CPU memory.
        gradient_checkpointing: recompute activations in the backward pass.
    """

    learning_rate: float
    schedule: str
    warmup_steps: int
    steps: int
    betas: tuple[float, float]
    max_grad_norm: float
    per_device: int
    accumulation: int
    offload: str
    gradient_checkpointing: bool


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """Switch dropout off, so that every pass of PPO sees the same policy; the configuration keeps its values."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in _DROPOUT:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


class TorchLearner:
    """Plain torch: one process, the model as it is."""

    def __init__(self, model: PreTrainedModel, optimization: Optimization | None, device: str):
        self.model = model
        torch.nn.Module.to(model, device)
        self._norm = optimization.max_grad_norm if optimization else 0.0
        if optimization:
            self._optimizer, self._schedule = _optimizer(model, optimization)

    @property
    def wrapped(self) -> Any:
        """What forward passes go through."""
        return self.model

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the loss's gradients; `last` says that a step follows."""
        loss.backward()

    def step(self) -> float:
        """Update the weights; the gradient's norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(norm)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._schedule.get_last_lr()[0])

    @contextlib.contextmanager
    def whole(self) -> Iterator[PreTrainedModel]:
        """The model with all its weights at hand, to generate with."""
        yield self.model

    def state_dict(self) -> dict[str, torch.Tensor] | None:
        """Gathered weights to save; None where the model's own are whole."""
        return None

    def save(self, directory: Path, name: str) -> None:
        """Store weights, optimizer and schedule as safetensors."""
        weights = self.model.named_parameters()
        tensors: dict[str, torch.Tensor] = {f"weights/{key}": value.detach() for key, value in weights}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": value for key, value in state.items()}
        save_file({key: value.contiguous() for key, value in tensors.items()}, directory / f"{name}.safetensors")
        write_json(directory / f"{name}.json", self._schedule.state_dict())

    def restore(self, directory: Path, name: str) -> None:
        """Load what `save` stored."""
        tensors = load_file(directory / f"{name}.safetensors")
        optimizer = self._optimizer.state_dict()
        with torch.no_grad():
            for name_of, weight in self.model.named_parameters():
                weight.copy_(tensors[f"weights/{name_of}"])
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, index, field = key.split("/")
                optimizer["state"].setdefault(int(index), {})[field] = value
        self._optimizer.load_state_dict(optimizer)
        self._schedule.load_state_dict(read_json(directory / f"{name}.json"))
        for group, rate in zip(self._optimizer.param_groups, self._schedule.get_last_lr(), strict=True):
            group["lr"] = rate


class ZeroLearner:
    """DeepSpeed ZeRO stage 3: weights, gradients and optimizer states parted over the processes."""

    def __init__(self, model: PreTrainedModel, optimization: Optimization | None, config: dict[str, Any]):
        import deepspeed

        self.model = model
        if optimization:
            optimizer, schedule = _optimizer(model, optimization)
            self._engine, *_ = deepspeed.initialize(
                model=model, optimizer=optimizer, lr_scheduler=schedule, config=config
            )
            self._schedule = schedule
        else:
            self._engine, *_ = deepspeed.initialize(model=model, config=config)

    @property
    def wrapped(self) -> Any:
        return self._engine

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(is_boundary=last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self) -> float:
        self._engine.step()
        if not self._engine.was_step_applied():
            return 0.0  # fp16 overflowed; DeepSpeed has lowered the loss scale and left the weights alone
        norm = self._engine.get_global_grad_norm()
        return float(norm) if norm is not None else float("nan")

    @property
    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    @contextlib.contextmanager
    def whole(self) -> Iterator[PreTrainedModel]:
        """Weights gathered once, and DeepSpeed out of the forward pass meanwhile."""
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(self.model.parameters())), without_wrappers(self._engine):
            yield self.model

    def state_dict(self) -> dict[str, torch.Tensor] | None:
        """Gathered weights, on the main process; all processes must call."""
        return self._engine._zero3_consolidated_16bit_state_dict()

    def save(self, directory: Path, name: str) -> None:
        self._engine.save_checkpoint(str(directory), tag=name, save_latest=False)

    def restore(self, directory: Path, name: str) -> None:
        if self._engine.load_checkpoint(str(directory), tag=name)[0] is None:
            raise UserError(f"DeepSpeed cannot load the state `{name}`", str(directory), "delete it, then run again")


Learner = TorchLearner | ZeroLearner


def _optimizer(model: PreTrainedModel, optimization: Optimization) -> tuple[torch.optim.Optimizer, Any]:
    """AdamW without weight decay, and its schedule."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=optimization.learning_rate, betas=optimization.betas, weight_decay=0.0, fused=True
    )
    schedule = get_scheduler(optimization.schedule, optimizer, optimization.warmup_steps, optimization.steps)
    return optimizer, schedule


def build_learner(
    load: Callable[[torch.dtype], PreTrainedModel], engine: Engine, optimization: Optimization, trained: bool
) -> Learner:
    """Load a model into the engine.

    Args:
        load: loads the model in a given type.
        engine: from `start_engine`.
        optimization: batch shape and, for a trained model, its updates.
        trained: whether it is trained or kept frozen.
    """
    kept = optimization.offload if trained or optimization.offload == "parameters" else "none"
    config = deepspeed_config(
        engine, per_device=optimization.per_device, accumulation=optimization.accumulation,
        max_grad_norm=optimization.max_grad_norm, offload=kept,
    )  # fmt: skip
    if not trained:
        config["zero_optimization"].pop("offload_optimizer", None)
    # transformers parts the weights over the processes while loading as long as this object lives.
    partition = HfDeepSpeedConfig(config) if engine.deepspeed else None
    model = without_dropout(load(engine.dtype))
    del partition
    multiply_by_onednn(model, engine)
    if not trained:
        model.requires_grad_(False).eval()
    elif optimization.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.train()
    if engine.deepspeed:
        return ZeroLearner(model, optimization if trained else None, config)
    return TorchLearner(model, optimization if trained else None, engine.device)
