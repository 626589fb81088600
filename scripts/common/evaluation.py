"""Prompts of a draw, the judgement of each answer, and the summary of a run."""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from common.errors import UserError
from common.files import sha256_of_text
from common.generation import Outcome, Request, decode
from common.prompts import few_shot_prompt, respond
from common.scoring import Verdict, generation_verdict, likelihood_verdict, strict_verdict
from common.statistics import wilson_interval
from common.tasks import Question, draw_examples

SCORINGS = ("generation", "strict", "likelihood")


@dataclass(frozen=True)
class Draw:
    """One run: its prompts with k examples drawn by one seed."""

    k: int
    seed: int
    requests: list[Request]
    questions: dict[str, Question]
    prompts: dict[str, str]
    max_new_tokens: int


class Evaluation:
    """How one checkpoint is asked one task.

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
        verdicts = {
            "generation": generation_verdict(text, question.accepted),
            "strict": strict_verdict(text, question.accepted),
            "likelihood": Verdict(likelihood_verdict(outcome.answer_logprobs, lengths), "one"),
        }
        generation = verdicts["generation"]
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
            "correct_strict": verdicts["strict"].answer == question.gold,
            "correct_likelihood": verdicts["likelihood"].answer == question.gold,
        }


def build_draw(
    evaluation: Evaluation, pool: Sequence[Question], questions: Sequence[Question], k: int, seed: int
) -> Draw:
    """Prompts and answers of every question for one (k, seed)."""
    shared = None
    if evaluation.examples == "shared":
        shared = draw_examples(pool, k, seed, evaluation.task)
    requests, by_key, prompts = [], {}, {}
    longest = 0
    for question in questions:
        examples = shared if shared is not None else draw_examples(pool, k, seed, evaluation.task, question)
        prompt = few_shot_prompt(examples, question.question, evaluation.marker)
        answers = [evaluation.answer_tokens(answer) for answer in question.answers]
        longest = max(longest, *map(len, answers))
        key = f"k{k}/{seed}/{question.id}/{sha256_of_text(prompt)[:16]}"
        requests.append(Request(key, evaluation.prompt_tokens(prompt), answers))
        by_key[key], prompts[key] = question, prompt
    return Draw(k, seed, requests, by_key, prompts, longest + evaluation.extra_tokens)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy under each scoring with a Wilson interval, and how the answers ended and parsed."""
    n = len(rows)
    columns = {"generation": "correct", "strict": "correct_strict", "likelihood": "correct_likelihood"}
    scores = {}
    for scoring in SCORINGS:
        correct = sum(row[columns[scoring]] for row in rows)
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
