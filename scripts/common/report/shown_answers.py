"""The answers the report page shows behind a cell: a sample of each run, with prompts as sent and verdicts."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.base.keyed_random import keyed_random
from common.data.prompts import few_shot_prompt
from common.data.questions import Question, draw_examples
from common.evaluation.scoring import SCORINGS
from common.files.parquet import read_parquet
from common.files.whole_files import read_json, sha256_of_text

LONGEST_PROMPT = 4000


@dataclass
class ShownAnswers:
    """Runs ready for JSON.

    Attributes:
        prompts: texts, each once.
        runs: by the path of a run without its suffix, relative to the results: k, seed, n, marker, items; how many
            are correct, and whether each shown one is, by scoring.
    """

    prompts: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)


class Collector:
    """Takes the same items of a task from every run, with the prompt as it was sent.

    Args:
        results: results folder of the preset.
        count: items per run.
        seed: of their draw.
    """

    def __init__(self, results: Path, count: int, seed: int):
        self.results, self.count, self.seed = results, count, seed
        self.collected = ShownAnswers()
        self._prompt_index: dict[str, int] = {}
        self.questions = functools.cache(self._questions)

    def add(self, stem: str, task: str) -> None:
        """Take up one run.

        Args:
            stem: its path without suffix, relative to the results.
            task: the task's name.

        Raises:
            UserError: when a prompt cannot be written as it was sent.
        """
        score = read_json(self.results / f"{stem}.json")
        rows = {row["id"]: row for row in read_parquet(self.results / f"{stem}.parquet")}
        shown = [rows[name] for name in chosen_items(sorted(rows), self.count, self.seed, task)]
        texts = self._prompts(shown, score, task, stem)
        self.collected.runs[stem] = {
            **{key: score[key] for key in ("k", "seed", "n", "marker")},
            "correct": {scoring: score["scorings"][scoring]["correct"] for scoring in SCORINGS},
            "items": [
                {
                    "id": row["id"],
                    "prompt": self._index(text),
                    **{key: row[key] for key in ("generation", "parsed", "parse", "gold")},
                    "correct": {scoring: row[column] for scoring, column in SCORINGS.items()},
                }
                for row, text in zip(shown, texts, strict=True)
            ],
        }

    def _questions(self, task: str) -> tuple[Sequence[Question], Mapping[str, Question]]:
        """A task's examples and its items by id."""
        folder = self.results / "data" / "tasks" / task
        pool, items = (
            [Question(**row) for row in read_parquet(folder / f"{part}.parquet")] for part in ("train", "eval")
        )
        return pool, {item.id: item for item in items}

    def _prompts(self, rows: Sequence[Mapping[str, Any]], score: Mapping[str, Any], task: str, stem: str) -> list[str]:
        """The prompts of some items, checked against the hashes of what was sent."""
        pool, items = self.questions(task)
        shared = score["provenance"]["settings"]["examples"] == "shared"
        texts = []
        for row in rows:
            question = items[row["id"]]
            examples = draw_examples(pool, score["k"], score["seed"], task=task, item=None if shared else question)
            text = few_shot_prompt(examples, question.question, score["marker"])
            if sha256_of_text(text) != row["prompt_hash"]:
                remedy = "run the workflow again: the task's data are not those that were evaluated"
                raise UserError("a prompt cannot be written as it was sent", f"{stem}, item {row['id']}", remedy)
            texts.append(text)
        return texts

    def _index(self, text: str) -> int:
        shown = text if len(text) <= LONGEST_PROMPT else "\u2026" + text[-LONGEST_PROMPT:]
        if shown not in self._prompt_index:
            self._prompt_index[shown] = len(self.collected.prompts)
            self.collected.prompts.append(shown)
        return self._prompt_index[shown]


def chosen_items(ids: Sequence[str], count: int, seed: int, task: str) -> list[str]:
    """`count` items of a task, chosen by seed, the same for every run over the same items."""
    return keyed_random("report", seed, task).sample(sorted(ids), min(count, len(ids)))
