"""TRL's fused head: log-likelihoods of labels without whole logits, projected at labelled positions alone."""

from transformers import PreTrainedModel
from trl.trainer import utils


def skip_unlabelled_positions() -> None:
    """Have the head pass over positions without a label on a CPU as it does on a GPU.

    TRL does so only where it has Triton kernels: elsewhere a changing number of positions would make some accelerators
    compile again. A CPU compiles nothing, and prompts are half of the tokens here.
    """
    utils._use_triton = lambda device: True


def add_fused_head(model: PreTrainedModel, outputs: tuple[str, ...]) -> None:
    """Let `model(..., labels=labels, fused_lm_head=True)` return these outputs of each label, such as log_probs."""
    skip_unlabelled_positions()
    utils.add_fused_lm_head(model, outputs=outputs)
