"""What the workflow, the plan and the tables know about each method; its script says how it trains.

Loaded while the DAG is planned: nothing heavy here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A way to train a model.

    Attributes:
        label: its name in tables.
        split: the data it is trained on, a name of `data/splits`.
        heldout: the held-out examples it is measured on, a name of `data/splits`; None: nothing is measured.
        texts: what one of its sequences is made of: prompt, reference, better, worse.
        together: sequences that an example holds at once.
        equal_batches: whether its loss is averaged over each micro-batch, so that all hold equally many examples.
        has_reference: whether a frozen copy of the model is held beside it.
        starts_from: methods whose checkpoints it starts from.
        arm: the arm of the comparison it belongs to; its label, where it is one by itself.
    """

    label: str
    split: str
    heldout: str | None
    texts: tuple[str, ...]
    together: int = 1
    equal_batches: bool = False
    has_reference: bool = False
    starts_from: tuple[str, ...] = ("pretrained",)
    arm: str = ""


# Methods with a row in Table 3, then the stages of the RL arm.
METHODS = {
    "sft": Method("SFT", "sft", "heldout_sft", ("prompt", "reference")),
    "sft_best": Method("SFT (best-scored)", "coh", "heldout_coh", ("prompt", "better"), arm="SFT"),
    "coh": Method("CoH", "coh", "heldout_coh", ("prompt", "better", "worse")),
    "dpo": Method(
        "DPO",
        "coh",
        None,
        ("prompt", "better"),
        together=2,
        equal_batches=True,
        has_reference=True,
        starts_from=("sft",),
    ),
    "rl_sft": Method("SFT (stage 1)", "rl_sft", "heldout_sft", ("prompt", "reference"), arm="RL"),
    "reward": Method("Reward model", "rl_reward", "heldout_rl_reward", ("prompt", "better"), together=2, arm="RL"),
    "ppo": Method("PPO", "rl_prompts", None, ("prompt",), starts_from=("rl_sft", "reward"), arm="RL"),
}
# Of the RL arm, those that answer: the supervised one and the optimised one.
RL_STAGES = ("rl_sft", "ppo")
METHOD_LABELS = {"pretrained": "Pretrained", **{name: method.label for name, method in METHODS.items()}}


def learnt_files(method: str) -> list[str]:
    """Which instruction files a method learns responses from, itself or through what it starts from."""
    if method not in METHODS:
        return []
    found = {name for start in METHODS[method].starts_from for name in learnt_files(start)}
    found |= {"references"} if "reference" in METHODS[method].texts else set()
    found |= {"comparisons"} if {"better", "worse"} & {*METHODS[method].texts} else set()
    return sorted(found, reverse=True)
