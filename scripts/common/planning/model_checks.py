"""What can be told of models before anything runs: their files without the weights, and what each role asks of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from common.base.errors import UserError
from common.config import settings
from common.models.checkpoints import check_files
from common.planning.shapes import model_folders


def check_models(config: Mapping[str, Any], results: Path) -> None:
    """Refuse models that `prepare_model` would refuse, as far as their files are here, and roles they cannot take.

    Args:
        config: the whole configuration.
        results: directory of the preset's results; it need not exist.

    Raises:
        UserError: naming the model and what to do.
    """
    tokenizers = {}
    for name in sorted(settings.used_models(config)):
        folder = next(model_folders(config, name, results), None)
        if folder is not None:
            tokenizers[name] = check_files(folder)
    for model, method in settings.checkpoints(config):
        if method == "ppo":
            key = "rl.actor" if model == config["rl"]["actor"] else "human_eval.pairs"
            _check_common_vocabulary(model, config["rl"]["reward"], tokenizers, f"{key}, rl.reward")


def _check_common_vocabulary(
    actor: str, reward: str, tokenizers: Mapping[str, PreTrainedTokenizerFast], where: str
) -> None:
    both = {actor, reward} <= tokenizers.keys()
    if both and tokenizers[actor].get_vocab() != tokenizers[reward].get_vocab():
        what = f"{actor} and {reward} have different vocabularies, which PPO cannot bridge"
        remedy = "choose two models of one family, such as opt-6.7b and opt-350m"
        raise UserError(what, where, remedy)
