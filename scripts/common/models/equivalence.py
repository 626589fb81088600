"""The check of a model before anything is spent on it: which way of asking it gives the numbers of plain passes.

Random prompts that share a beginning are answered, greedily and by likelihood, in every way from the fastest on, in
fp32, and compared with plain forward passes over the same tokens. Deep models are compared by their first layers of
every kind: how a model reads a cache follows from its code, which all layers of a kind share.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl.trainer.utils import add_fused_lm_head

from common.base.errors import UserError, explain
from common.models.decoding import Decoding
from common.models.generation import Outcome, Request, context_of
from common.models.plain_generation import plain_logits
from common.models.reward_model import pad_right
from common.models.shallow_copy import shallow_copy
from common.models.ways import SHARED_PREFIX, WAYS, attention_of, build_generator, shared_prefix_limit

# Largest difference of a log-likelihood in fp32, and the least that rounding may amount to.
TOLERANCE, ROUNDING = 1e-3, 2e-5
# Of the difference that another prompt makes, this much may not come from the way of asking.
SHARE_OF_EFFECT = 0.1
# Trained models have logits about as large as this.
LOGITS = 32.0
LONGEST_PROBE, NEW_TOKENS, SEED = 512, 4, 0
_GREEDY = Decoding(stop_at_newline=False, stop_at_eos=False, logprobs=True)


@dataclass
class Finding:
    """How a model is to be asked.

    Attributes:
        way: the fastest one that gives the numbers of plain passes.
        difference: largest difference of a log-likelihood between the two.
        tokens: of the longest sequence that was compared.
        layers: that took part.
        passed_over: why each faster way is not taken.
    """

    way: str = ""
    difference: float = 0.0
    tokens: int = 0
    layers: int = 0
    passed_over: dict[str, str] = field(default_factory=dict)


def check_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, where: str) -> Finding:
    """Find the way to ask a model.

    Args:
        model: as loaded, on the CPU.
        tokenizer: of the model.
        where: what the model was made from, for messages.

    Raises:
        UserError: when no way gives the numbers of plain passes, later tokens change earlier ones, or training would
            see another likelihood than the model's.
    """
    found = Finding()
    with torch.inference_mode():
        for copy in shallow_copy(model):  # the first layers; should they not stand alone, the whole model
            try:
                _compare(copy, tokenizer, found)
            except UserError as error:
                error.where = error.where or f"{where} ({type(model).__name__})"
                raise
            except Exception as error:
                if explain(error):
                    raise
                found.passed_over["first layers"] = _words(error)
                continue
            found.passed_over.pop("first layers", None)
            return found
    what = f"this architecture cannot be asked: {found.passed_over['first layers']}"
    raise UserError(what, f"{where} ({type(model).__name__})", "choose another model; docs/models.md lists which work")


def _compare(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, found: Finding) -> None:
    """Compare every way with plain passes, until one agrees."""
    usual = model.config._attn_implementation
    requests = probe_requests(model, tokenizer)
    found.layers, found.tokens = model.config.get_text_config().num_hidden_layers, requests[0].longest(NEW_TOKENS)
    _sharpen(model, requests[0].prompt)
    alone = _next_token(model, requests[0].prompt)
    effect = _effect_of_prompt(model, requests[0].prompt, alone)
    tolerance = min(TOLERANCE, max(ROUNDING, SHARE_OF_EFFECT * effect))
    _check_causal(model, requests[0].prompt, alone, tolerance)
    _check_loss(model, requests[0].prompt[-64:], tolerance)
    for way in WAYS:
        if way == SHARED_PREFIX and effect < ROUNDING:
            found.passed_over[way] = "the model hardly reads its prompt, so nothing can be compared"
            continue
        try:
            model.set_attn_implementation(attention_of(way) or usual)
            [outcomes] = [
                {key: outcome for batch in build_generator(way, model, tokenizer, 8192).run(
                    requests, NEW_TOKENS, _GREEDY) for key, outcome in batch.items()}
            ]  # fmt: skip
        except Exception as error:  # whatever an architecture makes of attention that is not its own
            if explain(error) and not isinstance(error, UserError):
                raise
            found.passed_over[way] = _words(error)
            continue
        finally:
            model.set_attn_implementation(usual)
        difference = max(_difference(model, request, outcomes[request.key]) for request in requests)
        if difference <= tolerance:
            found.way, found.difference = way, difference
            return
        found.passed_over[way] = f"log-likelihoods differ by {difference:.2g}"
    raise UserError("this model's plain forward passes do not repeat themselves", "",
                    "choose another model; docs/models.md lists which work")  # fmt: skip


def probe_requests(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[Request]:
    """Prompts of random tokens that share a beginning, the longest first, up to where the model's limits are."""
    config = model.config
    longest = int(min(LONGEST_PROBE, shared_prefix_limit(config), context_of(config) or LONGEST_PROBE)) - NEW_TOKENS
    embeddings: Any = model.get_input_embeddings()
    rows = len(embeddings.weight)
    usable = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    words = random.Random(SEED)

    def draw(count: int) -> list[int]:
        return words.choices([token for token in usable if token < rows], k=count)

    suffixes = [max(3, longest // 8), max(2, longest // 16), 1]
    prefix = draw(max(1, longest - suffixes[0]))
    answers = [[draw(3)], [draw(1), draw(2)], []]
    return [
        Request(f"probe {i}", [*prefix, *draw(count)], few)
        for i, (count, few) in enumerate(zip(suffixes, answers, strict=True))
    ]


def _sharpen(model: PreTrainedModel, prompt: Sequence[int]) -> None:
    """Give a model that was hardly trained the logits it will have, so that what caps or scales them shows."""
    largest = float(plain_logits(model, prompt, last=1).abs().max())
    head: Any = model.get_output_embeddings()
    if head is not None and 0 < largest < LOGITS:
        head.weight.mul_(2.0 ** math.ceil(math.log2(LOGITS / largest)))  # a power of two rounds nothing


def _next_token(model: PreTrainedModel, prompt: Sequence[int]) -> torch.Tensor:
    """Log-likelihoods of the token after a prompt, shape (vocabulary,)."""
    return torch.log_softmax(plain_logits(model, prompt, last=1), dim=-1)[0]


def _effect_of_prompt(model: PreTrainedModel, prompt: Sequence[int], alone: torch.Tensor) -> float:
    """How much these log-likelihoods, `alone`, change with the beginning of the prompt."""
    half = len(prompt) // 2
    other = _next_token(model, [*reversed(prompt[:half]), *prompt[half:]])
    if not (torch.isfinite(alone).all() and torch.isfinite(other).all()):
        raise UserError("this model's logits are not finite numbers", "", "check how its weights were saved")
    return float((alone - other).abs().mean())


def _check_causal(model: PreTrainedModel, prompt: Sequence[int], alone: torch.Tensor, tolerance: float) -> None:
    """Refuse a model whose tokens see what comes after them: it has no likelihood of a text."""
    followed = plain_logits(model, [*prompt, *prompt[:3]], last=4)[0].log_softmax(dim=-1)
    if float((alone - followed).abs().max()) > tolerance:
        what = "this is not a causal language model: a token's logits depend on what comes after it"
        raise UserError(what, "", "choose a model that was trained to predict the next token")


def _check_loss(model: PreTrainedModel, ids: Sequence[int], tolerance: float) -> None:
    """Refuse a model whose log-likelihoods are others in training, in a padded batch and through TRL's loss head."""
    short = list(ids[: len(ids) // 2])
    batch = pad_right([list(ids), short], 0)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    add_fused_lm_head(model)
    try:
        found = model(**batch, labels=labels, fused_lm_head=True).log_probs
    except Exception as error:  # the head takes a base model and an output layer of the usual form for granted
        raise _untrainable(_words(error)) from error
    finally:
        del model.forward  # the class's own is beneath
    for row, tokens in zip(found, (list(ids), short), strict=True):
        expected = _log_likelihoods(model, tokens, len(tokens) - 1)
        difference = float((row[: len(expected)] - expected).abs().max())
        if difference > tolerance:
            raise _untrainable(f"log-likelihoods differ by {difference:.2g}")


def _untrainable(reason: str) -> UserError:
    what = f"TRL's loss does not fit this architecture, so that it cannot be trained ({reason})"
    return UserError(what, "", "choose another model; docs/models.md lists which work")


def _difference(model: PreTrainedModel, request: Request, outcome: Outcome) -> float:
    """Largest difference between an outcome and plain passes over the same tokens."""
    tokens = [*request.prompt, *outcome.tokens]
    logprobs = torch.log_softmax(plain_logits(model, tokens[:-1], last=len(outcome.tokens)), dim=-1)
    chosen = logprobs.gather(1, torch.tensor(outcome.tokens)[:, None])[:, 0]
    differences = [(chosen - torch.tensor(outcome.logprobs)).abs().max(), (logprobs.amax(dim=1) - chosen).max()]
    for answer, value in zip(request.answers, outcome.answer_logprobs, strict=True):
        differences.append((_log_likelihoods(model, [*request.prompt, *answer], len(answer)).sum() - value).abs())
    return float(torch.stack(differences).nan_to_num(nan=float("inf")).max())


def _log_likelihoods(model: PreTrainedModel, tokens: Sequence[int], count: int) -> torch.Tensor:
    """Of the last `count` tokens, each given all before it, from one plain pass."""
    logprobs = torch.log_softmax(plain_logits(model, tokens[:-1], last=count), dim=-1)
    return logprobs.gather(1, torch.tensor(tokens[-count:])[:, None])[:, 0]


def _words(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:200]
