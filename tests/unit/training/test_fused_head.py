"""Log-likelihoods of labels: the fused head beside whole logits, at labelled positions and nowhere else."""

from pathlib import Path

import pytest
import torch

from common.models.loading import load_model
from common.training.fused_head import add_fused_head
from common.training.sequences import IGNORED

IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])


def reference(model: torch.nn.Module, labels: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each label from whole logits; 0 where there is none. Shape (B, T - 1)."""
    logprobs = torch.log_softmax(model(input_ids=IDS).logits[:, :-1], dim=-1)
    wanted = labels[:, 1:]
    return logprobs.gather(2, wanted.clamp(min=0)[..., None])[..., 0] * (wanted != IGNORED)


@pytest.mark.parametrize("labelled", [[(0, 3), (0, 4), (1, 5)], [(1, 1)], []])
def test_labels_score_as_from_whole_logits(
    model_folders: dict[str, Path], labelled: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(model_folders["llama"], torch.float32)
    labels = torch.full_like(IDS, IGNORED)
    for row, place in labelled:
        labels[row, place] = IDS[row, place]
    expected = reference(model, labels)
    expected.sum().backward()
    gradients = [weights.grad.clone() for weights in model.parameters()]
    model.zero_grad()

    add_fused_head(model, ("log_probs",))
    rows: list[int] = []
    linear = torch.mm

    def counted(one: torch.Tensor, other: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
        rows.append(len(one))
        return linear(one, other, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "mm", counted)
        found = model(input_ids=IDS, labels=labels, fused_lm_head=True).log_probs
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert rows == [len(labelled)] * bool(labelled)  # of the head's product, which is the only `torch.mm`
    found.sum().backward()
    for weights, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(weights.grad, gradient, rtol=1e-4, atol=1e-6)
