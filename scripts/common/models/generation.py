"""Generation and answer log-likelihoods for many prompts that share a beginning, in one pass over them.

The longest common token prefix is computed once, suffixes are prefilled in chunks of similar length, all rows of a
batch are decoded together, and finished rows leave it. Each forward pass tells `shared_prefix`, the model's attention,
what it reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError
from common.models.answer_layout import lay_out_answers, layout_width
from common.models.decoding import ANSWERS, Choice, Decoding, TokenChooser, finish_of
from common.models.shared_prefix import (
    AttentionPass,
    ContinuationPass,
    DecodingPass,
    PrefixCache,
    PrefixPass,
    SuffixCache,
    SuffixPass,
)

# Padded tokens of one pass: large enough for full speed, small enough that little is padded.
PREFILL_TOKENS = 1024
SCORE_TOKENS = 256


@dataclass(frozen=True)
class Request:
    """One prompt: its tokens, and the tokens each possible answer would continue it with (none: generation alone)."""

    key: str
    prompt: list[int]
    answers: list[list[int]]

    def longest(self, max_new_tokens: int) -> int:
        """Tokens of the prompt with its longest answer, or with a whole generation."""
        return len(self.prompt) + max([max_new_tokens, *map(len, self.answers)])


@dataclass
class Outcome:
    """What the model made of a request.

    Attributes:
        tokens: generated token ids, the stopping one included.
        finish: eos, newline or length.
        logprobs: log-likelihood of each generated token, when asked for.
        margin: smallest difference between the two best logits over the steps of greedy decoding.
        answer_logprobs: natural log-likelihood of each answer's tokens after the prompt.
    """

    tokens: list[int] = field(default_factory=list)
    finish: str = "length"
    logprobs: list[float] = field(default_factory=list)
    margin: float = float("inf")
    answer_logprobs: list[float] = field(default_factory=list)

    def add(self, choice: Choice) -> None:
        """Append a token and what is known of it."""
        self.tokens.append(choice.token)
        if choice.logprob is not None:
            self.logprobs.append(choice.logprob)
        if choice.margin is not None:
            self.margin = min(self.margin, choice.margin)


@dataclass(frozen=True)
class Batch:
    """Requests answered together, the longest first.

    Attributes:
        requests: of its rows.
        lengths: tokens of each prompt after the prefix, shape (rows,).
        max_new_tokens: length limit of a generation.
        prefix: keys and values of what all prompts begin with.
        suffixes: keys and values of the rest of each prompt, and of what is generated.
    """

    requests: Sequence[Request]
    lengths: torch.Tensor
    max_new_tokens: int
    prefix: PrefixCache
    suffixes: SuffixCache


def common_prefix(prompts: Sequence[list[int]]) -> int:
    """Length of the longest token prefix all prompts share, leaving each at least one token."""
    shortest, longest = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    for i in range(limit):
        if shortest[i] != longest[i]:
            return i
    return limit


def context_of(config: PretrainedConfig) -> int | None:
    """Most tokens of a sequence; None where the configuration names no limit."""
    text = config.get_text_config()
    return getattr(text, "max_position_embeddings", None) or getattr(text, "max_seq_len", None)


def check_lengths(config: PretrainedConfig, requests: Sequence[Request], max_new_tokens: int) -> None:
    """Refuse what the model has no positions for.

    Raises:
        UserError: when a prompt and its answer exceed the model's context.
    """
    context = context_of(config)
    for request in requests:
        if context is not None and request.longest(max_new_tokens) > context:
            what = f"a prompt of {len(request.prompt)} tokens and its answer exceed the model's {context} positions"
            remedy = "shorten it (fewer `shots`, a smaller `max_prompt_length`), or a model with more positions"
            raise UserError(what, f"item {request.key}", remedy)


class Generator:
    """Answers requests with one loaded model.

    Args:
        model: a causal language model with attention `shared_prefix`.
        tokenizer: of the model.
        batch_tokens: most suffix and answer tokens of one batch.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_tokens: int):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._device = str(model.device)

    @torch.inference_mode()
    def run(
        self, requests: Sequence[Request], max_new_tokens: int, decoding: Decoding = ANSWERS
    ) -> Iterator[dict[str, Outcome]]:
        """Outcomes by key, a batch at a time.

        Args:
            requests: prompts, best all of one draw, so that they share their examples.
            max_new_tokens: length limit of a generation.
            decoding: how tokens are chosen and what ends a generation.

        Raises:
            UserError: when a prompt and its answer exceed the model's context.
        """
        check_lengths(self._model.config, requests, max_new_tokens)
        prefix = self._read_prefix(requests)
        ordered = sorted(requests, key=lambda request: (-len(request.prompt), request.key))
        for batch in self._batches(ordered, prefix, max_new_tokens):
            yield self._answer(batch, decoding)

    def _answer(self, batch: Batch, decoding: Decoding) -> dict[str, Outcome]:
        logits = self._read_suffixes(batch)
        outcomes = [Outcome(answer_logprobs=scores) for scores in self._score_answers(batch, logits)]
        self._generate(batch, logits, outcomes, decoding)
        return {request.key: outcome for request, outcome in zip(batch.requests, outcomes, strict=True)}

    def _batches(self, ordered: Sequence[Request], prefix: PrefixCache, max_new_tokens: int) -> Iterator[Batch]:
        """As many requests at once as the batch's tokens allow, with room for their keys and values."""
        start = 0
        while start < len(ordered):
            slots = len(ordered[start].prompt) - prefix.length + max_new_tokens
            requests = ordered[start : start + max(1, self._batch_tokens // slots)]
            lengths = torch.tensor([len(request.prompt) - prefix.length for request in requests])
            yield Batch(
                requests=requests,
                lengths=lengths,
                max_new_tokens=max_new_tokens,
                prefix=prefix,
                suffixes=SuffixCache(len(requests), slots),
            )
            start += len(requests)

    def _hidden(self, ids: torch.Tensor, positions: torch.Tensor, reading: AttentionPass) -> torch.Tensor:
        """Last hidden states, shape (rows, Q, hidden)."""
        backbone = self._model.base_model
        output = backbone(
            input_ids=ids.to(self._device),
            position_ids=positions.to(self._device),
            use_cache=False,
            attention_pass=reading,
        )
        return output.last_hidden_state

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """fp32 logits of hidden states, shape (rows, vocabulary)."""
        return self._model.get_output_embeddings()(hidden).float()

    def _read_prefix(self, requests: Sequence[Request]) -> PrefixCache:
        """Keys and values of what all prompts begin with."""
        prefix = PrefixCache(common_prefix([request.prompt for request in requests]))
        if prefix.length:
            ids = torch.tensor([requests[0].prompt[: prefix.length]])
            self._hidden(ids, torch.arange(prefix.length)[None], PrefixPass(prefix))
        return prefix

    def _read_suffixes(self, batch: Batch) -> torch.Tensor:
        """Logits after each prompt, shape (rows, vocabulary); the suffixes are stored."""
        chunks = _chunks(batch.lengths.tolist(), PREFILL_TOKENS)
        return torch.cat([self._read_suffixes_of(batch, rows) for rows in chunks])

    def _read_suffixes_of(self, batch: Batch, rows: slice) -> torch.Tensor:
        prefix = batch.prefix
        suffixes = [request.prompt[prefix.length :] for request in batch.requests[rows]]
        width = len(suffixes[0])
        ids = torch.tensor([suffix + [0] * (width - len(suffix)) for suffix in suffixes])
        positions = (prefix.length + torch.arange(width))[None].expand(ids.shape)
        hidden = self._hidden(
            ids, positions, SuffixPass.of(prefix, batch.suffixes, rows=rows, width=width, device=self._device)
        )
        last = torch.tensor([len(suffix) - 1 for suffix in suffixes], device=self._device)
        return self._logits(hidden[torch.arange(len(suffixes), device=self._device), last])

    def _score_answers(self, batch: Batch, logits: torch.Tensor) -> list[list[float]]:
        """Log-likelihood of each request's answers, given the logits after the prompts."""
        scores = _score_first_tokens(batch.requests, logits)
        widths = [layout_width(request.answers) for request in batch.requests]
        ordered = sorted((i for i in range(len(widths)) if widths[i]), key=lambda i: (-widths[i], i))
        for chunk in _chunks([widths[i] for i in ordered], SCORE_TOKENS):
            rows = ordered[chunk]
            for i, further in zip(rows, self._score_further_tokens(batch, rows), strict=True):
                scores[i] = [first + rest for first, rest in zip(scores[i], further, strict=True)]
        return scores

    def _score_further_tokens(self, batch: Batch, rows: list[int]) -> list[list[float]]:
        """Log-likelihood of the answers of some rows after their first tokens."""
        requests, lengths = [batch.requests[i] for i in rows], batch.lengths[rows]
        layout = lay_out_answers([request.answers for request in requests], (batch.prefix.length + lengths).tolist())
        reading = ContinuationPass.of(
            batch.prefix,
            batch.suffixes,
            rows=torch.tensor(rows),
            lengths=lengths.to(self._device),
            own=layout.visible.to(self._device),
        )
        hidden = self._hidden(layout.ids, layout.positions, reading)
        where = torch.tensor([(target.row, target.place) for target in layout.targets], device=self._device)
        logprobs = torch.log_softmax(self._logits(hidden[where[:, 0], where[:, 1]]), dim=-1)
        chosen = logprobs.gather(1, torch.tensor([[target.token] for target in layout.targets], device=self._device))
        sums = [[0.0] * len(request.answers) for request in requests]
        for target, value in zip(layout.targets, chosen[:, 0].tolist(), strict=True):
            sums[target.row][target.answer] += value
        return sums

    def _generate(self, batch: Batch, logits: torch.Tensor, outcomes: Sequence[Outcome], decoding: Decoding) -> None:
        """Decode all rows together; rows that are done leave when they are a quarter of the batch."""
        chooser = TokenChooser(decoding, [request.key for request in batch.requests], batch.max_new_tokens)
        rows = list(range(len(outcomes)))
        for step in range(batch.max_new_tokens):
            choices = chooser.choose(logits, rows, step)
            for row, choice in zip(rows, choices, strict=True):
                accept(outcomes[row], choice, self._tokenizer, decoding)
            unfinished = [i for i, row in enumerate(rows) if outcomes[row].finish == "length"]
            if not unfinished or step == batch.max_new_tokens - 1:
                return
            if len(unfinished) <= 0.75 * len(rows):
                batch.suffixes.keep_rows(torch.tensor(unfinished, device=self._device))
                rows, choices = [rows[i] for i in unfinished], [choices[i] for i in unfinished]
            logits = self._read_tokens(batch, [choice.token for choice in choices], batch.lengths[rows] + step)

    def _read_tokens(self, batch: Batch, tokens: list[int], slots: torch.Tensor) -> torch.Tensor:
        """Logits after one more token of each row that is left, shape (rows, vocabulary)."""
        reading = DecodingPass.of(batch.prefix, batch.suffixes, slots.to(self._device))
        positions = (batch.prefix.length + slots)[:, None]
        return self._logits(self._hidden(torch.tensor(tokens)[:, None], positions, reading)[:, 0])


def accept(outcome: Outcome, choice: Choice, tokenizer: PreTrainedTokenizerFast, decoding: Decoding) -> None:
    """Append a token, unless the row is done already, and see whether it ends the generation."""
    if outcome.finish == "length":
        outcome.add(choice)
        outcome.finish = finish_of(outcome.tokens, tokenizer, decoding)


def _score_first_tokens(requests: Sequence[Request], logits: torch.Tensor) -> list[list[float]]:
    """Log-likelihood of the first token of each request's answers."""
    logprobs = torch.log_softmax(logits, dim=-1)
    firsts = [[answer[0] for answer in request.answers] for request in requests]
    return [row[tokens].tolist() for row, tokens in zip(logprobs, firsts, strict=True)]


def _chunks(lengths: Sequence[int], tokens: int) -> Iterator[slice]:
    """Runs of rows, sorted longest first, of at most so many padded tokens."""
    start = 0
    while start < len(lengths):
        count = max(1, tokens // lengths[start])
        yield slice(start, min(start + count, len(lengths)))
        start += count
