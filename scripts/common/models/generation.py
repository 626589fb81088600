"""Generation and answer log-likelihoods for many prompts that share a beginning, in one pass over them.

The longest common token prefix is computed once, suffixes are prefilled in chunks of similar length, all rows of a
batch are decoded together, and finished rows leave it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError
from common.files.whole_files import sha256_of_text
from common.models.shared_prefix import SharedPrefixStore

# Padded tokens of one pass: large enough for full speed, small enough that little is padded.
PREFILL_TOKENS = 1024
SCORE_TOKENS = 256


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen and what ends a generation besides its length.

    Attributes:
        temperature: of sampling; 0 takes the most likely token.
        seed: of sampling; a request's random numbers depend on it and on the request's key alone.
        stop_at_newline: end at a newline after visible text.
        stop_at_eos: end at EOS.
        logprobs: keep the log-likelihood of each token, at temperature 1.
    """

    temperature: float = 0.0
    seed: int = 0
    stop_at_newline: bool = True
    stop_at_eos: bool = True
    logprobs: bool = False


ANSWERS = Decoding()


@dataclass(frozen=True)
class Request:
    """One prompt: its tokens, and the tokens each possible answer would continue it with (none: generation alone)."""

    key: str
    prompt: list[int]
    answers: list[list[int]]


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


def common_prefix(prompts: Sequence[list[int]]) -> int:
    """Length of the longest token prefix all prompts share, leaving each at least one token."""
    shortest, longest = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    for i in range(limit):
        if shortest[i] != longest[i]:
            return i
    return limit


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
        self._context = getattr(model.config, "max_position_embeddings", None)
        self._check_logits()

    @torch.inference_mode()
    def _check_logits(self) -> None:
        """Refuse a model whose logits are not its output layer's: some scale or cap them afterwards.

        Raises:
            UserError: naming the model's class.
        """
        ids, store = torch.tensor([[0, 1, 2]], device=self._device), SharedPrefixStore()
        store.begin_prefix()
        whole = self._model(input_ids=ids, use_cache=False, store=store).logits.float()
        own = self._logits(self._hidden(ids, torch.arange(3)[None], store))
        if not torch.allclose(whole, own, rtol=1e-2, atol=1e-2, equal_nan=True):
            what = "this model changes its output layer's logits, which the generator does not know"
            raise UserError(what, type(self._model).__name__, "choose a model whose logits are its output layer's")

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
        self._check_lengths(requests, max_new_tokens)
        prefix = common_prefix([request.prompt for request in requests])
        store = SharedPrefixStore()
        if prefix:
            store.begin_prefix()
            self._hidden(torch.tensor([requests[0].prompt[:prefix]]), torch.arange(prefix)[None], store)
        ordered = sorted(requests, key=lambda request: (-len(request.prompt), request.key))
        for batch in self._batches(ordered, prefix, max_new_tokens):
            yield self._run_batch(batch, prefix, max_new_tokens, store, decoding)

    def _check_lengths(self, requests: Sequence[Request], max_new_tokens: int) -> None:
        for request in requests:
            longest = len(request.prompt) + max([max_new_tokens, *map(len, request.answers)])
            if self._context is not None and longest > self._context:
                tokens = len(request.prompt)
                what = f"a prompt of {tokens} tokens and its answer exceed the model's {self._context} positions"
                remedy = "shorten it (fewer `shots`, a smaller `max_prompt_length`), or a model with more positions"
                raise UserError(what, f"item {request.key}", remedy)

    def _batches(self, ordered: Sequence[Request], prefix: int, max_new_tokens: int) -> Iterator[list[Request]]:
        start = 0
        while start < len(ordered):
            slots = len(ordered[start].prompt) - prefix + max_new_tokens
            count = max(1, self._batch_tokens // slots)
            yield list(ordered[start : start + count])
            start += count

    def _hidden(self, ids: torch.Tensor, positions: torch.Tensor, store: SharedPrefixStore) -> torch.Tensor:
        """Last hidden states, shape (rows, Q, hidden)."""
        backbone = self._model.base_model
        output = backbone(
            input_ids=ids.to(self._device), position_ids=positions.to(self._device), use_cache=False, store=store
        )
        return output.last_hidden_state

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """fp32 logits of hidden states, shape (rows, vocabulary)."""
        return self._model.get_output_embeddings()(hidden).float()

    def _run_batch(
        self, batch: list[Request], prefix: int, max_new_tokens: int, store: SharedPrefixStore, decoding: Decoding
    ) -> dict[str, Outcome]:
        suffixes = [request.prompt[prefix:] for request in batch]
        lengths = torch.tensor([len(suffix) for suffix in suffixes])
        store.begin_batch(len(batch), int(lengths.max()) + max_new_tokens)
        outcomes = [Outcome() for _ in batch]
        chunks = _chunks([len(suffix) for suffix in suffixes], PREFILL_TOKENS)
        logits = torch.cat([self._prefill(suffixes, rows, prefix, store) for rows in chunks])
        self._score_first(batch, logits, outcomes)
        self._score_rest(batch, lengths, prefix, store, outcomes)
        choose = Chooser(decoding, [request.key for request in batch], max_new_tokens)
        self._decode(logits, lengths, prefix, max_new_tokens, store, outcomes, choose)
        return {request.key: outcome for request, outcome in zip(batch, outcomes, strict=True)}

    def _prefill(self, suffixes: list[list[int]], rows: slice, prefix: int, store: SharedPrefixStore) -> torch.Tensor:
        """Logits after the last prompt token of `rows`."""
        chunk = suffixes[rows]
        width = len(chunk[0])
        ids = torch.tensor([suffix + [0] * (width - len(suffix)) for suffix in chunk])
        store.begin_prefill(rows, width, prefix, self._device)
        hidden = self._hidden(ids, (prefix + torch.arange(width))[None].expand(ids.shape), store)
        last = torch.tensor([len(suffix) - 1 for suffix in chunk], device=self._device)
        return self._logits(hidden[torch.arange(len(chunk), device=self._device), last])

    def _score_first(self, batch: list[Request], logits: torch.Tensor, outcomes: list[Outcome]) -> None:
        """Log-likelihood of each answer's first token."""
        logprobs = torch.log_softmax(logits, dim=-1)
        for request, row, outcome in zip(batch, logprobs, outcomes, strict=True):
            outcome.answer_logprobs = row[[answer[0] for answer in request.answers]].tolist()

    def _score_rest(
        self,
        batch: list[Request],
        lengths: torch.Tensor,
        prefix: int,
        store: SharedPrefixStore,
        outcomes: list[Outcome],
    ) -> None:
        """Add the log-likelihood of the answers' further tokens, rows of similar length together."""
        widths = [sum(len(answer) - 1 for answer in request.answers) for request in batch]
        ordered = sorted((i for i in range(len(batch)) if widths[i]), key=lambda i: (-widths[i], i))
        for chunk in _chunks([widths[i] for i in ordered], SCORE_TOKENS):
            rows = ordered[chunk]
            sums = self._answer_sums([batch[i] for i in rows], rows, lengths[rows], prefix, store)
            for i, extra in zip(rows, sums, strict=True):
                outcomes[i].answer_logprobs = [a + b for a, b in zip(outcomes[i].answer_logprobs, extra, strict=True)]

    def _answer_sums(
        self, chunk: list[Request], rows: list[int], lengths: torch.Tensor, prefix: int, store: SharedPrefixStore
    ) -> list[list[float]]:
        """Log-likelihood of each answer after its first token: a row's answers side by side, blind to each other."""
        width = sum(len(answer) - 1 for answer in chunk[0].answers)
        ids = torch.zeros(len(chunk), width, dtype=torch.long)
        positions = torch.zeros_like(ids)
        own = torch.eye(width, dtype=torch.bool).repeat(len(chunk), 1, 1)
        targets: list[tuple[int, int, int, int]] = []
        for i, request in enumerate(chunk):
            start = 0
            for j, answer in enumerate(request.answers):
                count = len(answer) - 1
                ids[i, start : start + count] = torch.tensor(answer[:-1], dtype=torch.long)
                positions[i, start : start + count] = prefix + lengths[i] + torch.arange(count)
                own[i, start : start + count, start : start + count] = torch.ones(count, count, dtype=torch.bool).tril()
                targets += [(i, start + t, j, answer[t + 1]) for t in range(count)]
                start += count
        store.begin_score(torch.tensor(rows), lengths.to(self._device), own.to(self._device), prefix)
        hidden = self._hidden(ids, positions, store)
        where = torch.tensor([target[:2] for target in targets], device=self._device)
        logprobs = torch.log_softmax(self._logits(hidden[where[:, 0], where[:, 1]]), dim=-1)
        chosen = logprobs.gather(1, torch.tensor([[target[3]] for target in targets], device=self._device))
        sums = [[0.0] * len(request.answers) for request in chunk]
        for (i, _, j, _), value in zip(targets, chosen[:, 0].tolist(), strict=True):
            sums[i][j] += value
        return sums

    def _decode(
        self, logits: torch.Tensor, lengths: torch.Tensor, prefix: int, max_new_tokens: int, store: SharedPrefixStore,
        outcomes: list[Outcome], choose: "Chooser",
    ) -> None:  # fmt: skip
        """Decode all rows together; rows that are done leave when they are a quarter of the batch."""
        members = list(range(len(outcomes)))
        for step in range(max_new_tokens):
            chosen, logprobs, margins = choose(logits, members, step)
            for row, token, logprob, margin in zip(members, chosen, logprobs, margins, strict=True):
                self._accept(outcomes[row], token, logprob, margin, choose.decoding)
            alive = [i for i, row in enumerate(members) if outcomes[row].finish == "length"]
            if not alive or step == max_new_tokens - 1:
                return
            if len(alive) <= 0.75 * len(members):
                store.keep_rows(torch.tensor(alive, device=self._device))
                members, chosen = [members[i] for i in alive], [chosen[i] for i in alive]
            slots = lengths[members] + step
            store.begin_decode(slots.to(self._device))
            logits = self._logits(self._hidden(torch.tensor(chosen)[:, None], (prefix + slots)[:, None], store)[:, 0])

    def _accept(
        self, outcome: Outcome, token: int, logprob: float | None, margin: float | None, decoding: Decoding
    ) -> None:
        """Append a token, unless the row is done already, and see whether it ends the generation."""
        if outcome.finish != "length":
            return
        outcome.tokens.append(token)
        if logprob is not None:
            outcome.logprobs.append(logprob)
        if margin is not None:
            outcome.margin = min(outcome.margin, margin)
        if decoding.stop_at_eos and token == self._tokenizer.eos_token_id:
            outcome.finish = "eos"
        elif decoding.stop_at_newline and "\n" in decode(self._tokenizer, outcome.tokens).lstrip():
            outcome.finish = "newline"


class Chooser:
    """Picks each row's next token: the most likely one, or one drawn by the row's own random numbers.

    Args:
        decoding: how.
        keys: of the rows; with the seed they determine the random numbers.
        steps: most tokens of a row.
    """

    def __init__(self, decoding: Decoding, keys: Sequence[str], steps: int):
        self.decoding = decoding
        self._noise = (
            torch.stack([_uniform(decoding.seed, key, steps) for key in keys]) if decoding.temperature else None
        )

    def __call__(
        self, logits: torch.Tensor, rows: Sequence[int], step: int
    ) -> tuple[list[int], list[float] | list[None], list[float] | list[None]]:
        """Chosen tokens, their log-likelihoods (None unless asked for) and the margin of the best logit over the next
        (None when sampling) for the logits of `rows`, shape (rows, vocabulary)."""
        nothing: list[None] = [None] * len(rows)
        margins: list[float] | list[None] = nothing
        if self._noise is None:
            best, tokens = logits.topk(2, dim=-1)
            chosen, margins = tokens[:, 0], (best[:, 0] - best[:, 1]).tolist()
        else:
            mass = torch.softmax(logits / self.decoding.temperature, dim=-1).cumsum(dim=-1)
            wanted = self._noise[list(rows), step].to(logits.device)[:, None] * mass[:, -1:]
            chosen = torch.searchsorted(mass, wanted, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
        logprobs: list[float] | list[None] = nothing
        if self.decoding.logprobs:
            logprobs = torch.log_softmax(logits, dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        return chosen.tolist(), logprobs, margins


def _uniform(seed: int, key: str, count: int) -> torch.Tensor:
    """Random numbers in [0, 1) that depend on the seed and the key alone."""
    generator = torch.Generator().manual_seed(int(sha256_of_text(f"{seed}\0{key}")[:15], 16))
    return torch.rand(count, generator=generator)


def decode(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[int]) -> str:
    """Generated text without special tokens, spaces untouched."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _chunks(lengths: Sequence[int], tokens: int) -> Iterator[slice]:
    """Runs of rows, sorted longest first, of at most so many padded tokens."""
    start = 0
    while start < len(lengths):
        count = max(1, tokens // lengths[start])
        yield slice(start, min(start + count, len(lengths)))
        start += count
