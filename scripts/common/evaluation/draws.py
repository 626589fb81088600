"""Prompts of a draw, the verdict on each answer, and the summary of a run."""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerFast

from common.base.errors import UserError
from common.base.keyed_random import keyed_random
from common.data.prompts import few_shot_prompt, respond
from common.data.questions import Question, draw_examples
from common.evaluation.scoring import SCORINGS, generation_verdict, likelihood_verdict, strict_verdict
from common.files.whole_files import sha256_of_text
from common.models.decoding import decode
from common.models.generation import Outcome, Request
from common.stats.intervals import wilson_interval


@dataclass(frozen=True)
class Draw:
    """One run: its prompts with k examples drawn by one seed."""

    k: int
    seed: int
    requests: list[Request]
    questions: dict[str, Question]
    prompts: dict[str, str]
    max_new_tokens: int

    @property
    def longest(self) -> int:
        """Tokens of its longest prompt, answer included."""
        return max(request.longest(self.max_new_tokens) for request in self.requests)


class Evaluation:
    """How one checkpoint is evaluated on one task.

    Args:
        tokenizer: of the checkpoint.
        marker: what opens a response.
        task: name of the task.
        examples: shared or per_item.
        extra_tokens: a generation may be this much longer than the longest answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, marker: str, task: str, examples: str, extra_tokens: int):
        self.tokenizer, self.marker, self.task = tokenizer, marker, task
        self.examples, self.extra_tokens = examples, extra_tokens
        self.answer_tokens = functools.cache(self._answer_tokens)

    def prompt_tokens(self, prompt: str) -> list[int]:
        """Tokens of a whole prompt; markup of special tokens in its text stays text."""
        return self.tokenizer(prompt, split_special_tokens=True)["input_ids"]

    def _answer_tokens(self, answer: str) -> list[int]:
        """Tokens an answer continues a prompt with.

        Raises:
            UserError: when the tokenizer merges the marker's end with the answer's beginning.
        """
        options = {"add_special_tokens": False, "split_special_tokens": True}
        before = self.tokenizer(self.marker, **options)["input_ids"]
        whole = self.tokenizer(respond(self.marker, answer), **options)["input_ids"]
        if whole[: len(before)] != before or len(whole) == len(before):
            raise UserError("the tokenizer merges the marker with the answer", f"{self.marker!r} and {answer!r}",
                            "choose a marker that ends in a colon or the like")  # fmt: skip
        return whole[len(before) :]

    def judge(self, draw: Draw, key: str, outcome: Outcome) -> dict[str, Any]:
        """The row of one item: prompt hash, generation, and its verdict under each scoring."""
        question = draw.questions[key]
        text = decode(self.tokenizer, outcome.tokens)
        lengths = [len(self.answer_tokens(answer)) for answer in question.answers]
        generation = generation_verdict(text, question.accepted)
        strict = strict_verdict(text, question.accepted)
        likeliest = likelihood_verdict(outcome.answer_logprobs, lengths)
        return {
            "id": question.id,
            "prompt_hash": sha256_of_text(draw.prompts[key]),
            "generation": text,
            "finish": outcome.finish,
            "tokens": len(outcome.tokens),
            "margin": outcome.margin,
            "parsed": None if generation.answer is None else question.answers[generation.answer],
            "parse": generation.reason,
            "gold": question.answers[question.gold],
            "answers": question.answers,
            "answer_logprobs": outcome.answer_logprobs,
            "answer_tokens": lengths,
            "correct": generation.answer == question.gold,
            "correct_strict": strict.answer == question.gold,
            "correct_likelihood": likeliest == question.gold,
        }


def build_draw(
    evaluation: Evaluation, pool: Sequence[Question], questions: Sequence[Question], k: int, seed: int
) -> Draw:
    """Prompts and answers of every question for one (k, seed).

    A request's key names all that its outcome depends on, also the length limit: another selection of items may have a
    longer answer.
    """
    shared = None
    if evaluation.examples == "shared":
        shared = draw_examples(pool, k, seed, evaluation.task)
    answers = [[evaluation.answer_tokens(answer) for answer in question.answers] for question in questions]
    limit = max(len(tokens) for each in answers for tokens in each) + evaluation.extra_tokens
    requests, by_key, prompts = [], {}, {}
    for question, answer_tokens in zip(questions, answers, strict=True):
        examples = shared if shared is not None else draw_examples(pool, k, seed, evaluation.task, item=question)
        prompt = few_shot_prompt(examples, question.question, evaluation.marker)
        key = f"k{k}/{seed}/{question.id}/{limit}/{sha256_of_text(prompt)[:16]}"
        requests.append(Request(key, evaluation.prompt_tokens(prompt), answer_tokens))
        by_key[key], prompts[key] = question, prompt
    return Draw(k=k, seed=seed, requests=requests, questions=by_key, prompts=prompts, max_new_tokens=limit)


def sample_draw(draw: Draw, count: int, seed: int, task: str) -> Draw:
    """A draw with `count` of its items (all, if it has fewer), chosen by seed and the same in every draw of a task."""
    ids = sorted(question.id for question in draw.questions.values())
    chosen = set(keyed_random("precision", seed, task).sample(ids, min(count, len(ids))))
    return replace(draw, requests=[request for request in draw.requests if draw.questions[request.key].id in chosen])


def changed_answers(rows: Sequence[dict[str, Any]], repeated: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Number of items that were answered again, and the shares whose text and whose verdicts changed."""
    first = {row["id"]: row for row in rows}
    columns = {"text": "generation", **SCORINGS}
    changed = {
        name: sum(row[column] != first[row["id"]][column] for row in repeated) for name, column in columns.items()
    }
    return {"items": len(repeated), "changed": {name: count / len(repeated) for name, count in changed.items()}}


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy under each scoring with a Wilson interval, and how the answers ended and parsed."""
    n = len(rows)
    scores = {}
    for scoring, column in SCORINGS.items():
        correct = sum(row[column] for row in rows)
        scores[scoring] = {"correct": correct, "accuracy": correct / n, "interval95": list(wilson_interval(correct, n))}
    return {
        "n": n,
        **{key: scores["generation"][key] for key in ("correct", "accuracy", "interval95")},
        "scorings": scores,
        "unparseable": sum(row["parse"] != "one" for row in rows) / n,
        "parse": dict(Counter(row["parse"] for row in rows)),
        "finish": dict(Counter(row["finish"] for row in rows)),
        "close_calls": sum(row["margin"] < 1e-3 for row in rows),
    }
