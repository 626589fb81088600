"""Evaluation tasks as data: a YAML definition and rows in upstream's schema become questions with answers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.base.templates import fill
from common.data.plain_text import plain_text
from common.data.questions import Question
from common.data.rows import BadRow, Rejections, described, field, read_rows, row_object, text_field, whole_number
from common.files.yaml_files import read_yaml

COLUMNS = ("id", "question", "answers", "accepted", "gold")
ROW_NUMBER = "row_number"
_KEYS = {"name", "title", "version", "fields", "id", "prompt", "option", "answers"}


@dataclass(frozen=True)
class Task:
    """A task's definition file; `id` is a field, or ROW_NUMBER where rows have no name of their own."""

    name: str
    title: str
    version: int
    fields: Mapping[str, str]
    id: str
    prompt: str
    option: str
    answers: Mapping[str, Any]

    def question(self, row: Any, number: int = 0) -> Question:
        """The question a row of upstream's schema asks.

        Args:
            row: as `read_rows` yields it.
            number: its place in the file.

        Raises:
            BadRow: when the row does not fit the definition.
        """
        row = row_object(row)
        if self.id not in row and self.id != ROW_NUMBER:
            remedy = f"if rows have no id, write `id: {ROW_NUMBER}` in the task's definition and leave the field out"
            raise BadRow("missing field", f"{self.id}; {remedy}")
        values = {name: _field(row, name, kind) for name, kind in self.fields.items()}
        texts, accepted, gold = self._answers(values)
        options = "\n".join(fill(self.option, {"text": text}) for text in texts)
        question = fill(self.prompt, {**values, "options": options})
        identity = str(values.get(self.id, number))
        return Question(id=identity, question=question, answers=texts, accepted=accepted, gold=gold)

    def _answers(self, values: Mapping[str, Any]) -> tuple[list[str], list[list[str]], int]:
        if self.answers["kind"] == "labels":
            labels = self.answers["labels"]
            label = values[self.answers["field"]]
            if label not in labels:
                raise BadRow("unknown label", f"{label!r}; known are {', '.join(map(str, labels))}")
            texts = [entry["text"] for entry in labels.values()]
            accepted = [[entry["text"], *entry.get("also", [])] for entry in labels.values()]
            return texts, accepted, list(labels).index(label)
        source, gold = self.answers["texts"], values[self.answers["gold"]]
        if isinstance(source, str):
            texts, keys = values[source]["text"], values[source]["label"]
        else:
            texts, keys = [values[name] for name in source], list(range(len(source)))
        if gold not in keys:
            raise BadRow("unknown label", f"{gold!r}; known are {', '.join(map(str, keys))}")
        return texts, [[text] for text in texts], keys.index(gold)


def _field(row: Mapping[str, Any], name: str, kind: str) -> Any:
    """A field of a row, checked against the type its definition names."""
    if kind == "string":
        text = text_field(row, name).strip()
        if not text:
            raise BadRow("empty field", name)
        return text
    return whole_number(row, name) if kind == "integer" else _choices(field(row, name), name)


def _choices(value: Any, name: str) -> dict[str, list[str]]:
    """CommonsenseQA's `choices`: parallel lists of labels and texts."""
    if not isinstance(value, Mapping) or not all(isinstance(value.get(k), list) for k in ("label", "text")):
        raise BadRow("wrong type", f"{name} is {described(value)}, not an object with lists `label` and `text`")
    labels, texts = value["label"], value["text"]
    if len(labels) != len(texts) or not all(isinstance(item, str) and item.strip() for item in [*labels, *texts]):
        raise BadRow(
            "wrong type", f"{name}: labels and texts must be non-empty texts, as many of the one as of the other"
        )
    if len(set(labels)) < len(labels):
        raise BadRow("wrong type", f"{name}: a label stands twice")
    for item in (*labels, *texts):
        text_field({name: item}, name)
    return {"label": labels, "text": [text.strip() for text in texts]}


def same_answers(question: Question) -> bool:
    """Whether two answers share a wording, but for case, spacing, Unicode form and a final full stop."""
    wordings = [{plain_text(wording).rstrip(".") for wording in each} for each in question.accepted]
    return sum(map(len, wordings)) > len(set().union(*wordings))


def load_task(path: Path) -> Task:
    """Read and check a definition.

    Raises:
        UserError: naming the file and the key that is wrong.
    """
    content = read_yaml(path, "a task definition")
    problem = _definition_problem(content)
    if problem:
        raise UserError(f"a task definition is not valid: {problem}", str(path), "see docs/tasks.md")
    task = Task(**{"option": "{text}", **content})
    known = dict.fromkeys([*task.fields, "options"], "x")
    for key, template, fields in (("prompt", task.prompt, known), ("option", task.option, {"text": "x"})):
        try:
            fill(template, fields)
        except ValueError as error:
            raise UserError(
                f"a task definition is not valid: {key}: {error}", str(path), "see docs/tasks.md"
            ) from error
    return task


def _definition_problem(content: Any) -> str | None:
    """What is wrong with a definition, or None."""
    if not isinstance(content, Mapping):
        return "it is no mapping"
    if unknown := set(content) - _KEYS:
        return f"unknown key `{sorted(map(str, unknown))[0]}`"
    if missing := _KEYS - {"option"} - set(content):
        return f"missing key `{sorted(missing)[0]}`"
    if isinstance(content["version"], bool) or not isinstance(content["version"], int):
        return "version: not an integer"
    for key in ("name", "title", "id", "prompt"):
        if not isinstance(content[key], str) or not content[key]:
            return f"{key}: not a text"
    if not isinstance(content.get("option", ""), str):
        return "option: not a text"
    fields = content["fields"]
    kinds = ("string", "integer", "choices")
    if (
        not isinstance(fields, Mapping)
        or not fields
        or not all(isinstance(k, str) and v in kinds for k, v in fields.items())
    ):
        return f"fields: each must be one of {', '.join(kinds)}"
    if "options" in fields:
        return "fields: `options` is the name of the rendered choices"
    if content["id"] not in fields and content["id"] != ROW_NUMBER:
        return f"id: `{content['id']}` is not among the fields; where rows have none, write `id: {ROW_NUMBER}`"
    return _answers_problem(content["answers"], fields)


def _is_label_field(name: Any, fields: Mapping[str, str]) -> bool:
    return isinstance(name, str) and fields.get(name) in ("string", "integer")


def _answers_problem(answers: Any, fields: Mapping[str, str]) -> str | None:
    if not isinstance(answers, Mapping) or answers.get("kind") not in ("labels", "choices"):
        return "answers.kind: must be labels or choices"
    if answers["kind"] == "choices":
        texts = answers.get("texts")
        names = [texts] if isinstance(texts, str) else texts
        if not isinstance(names, list) or not names or any(not isinstance(n, str) or n not in fields for n in names):
            return "answers.texts: must name fields"
        wanted = "choices" if isinstance(texts, str) else "string"
        if any(fields[n] != wanted for n in names) or (wanted == "string" and len(names) < 2):
            return "answers.texts: one field of kind choices, or a list of text fields"
        return None if _is_label_field(answers.get("gold"), fields) else "answers.gold: must name a field"
    labels = answers.get("labels")
    if not _is_label_field(answers.get("field"), fields):
        return "answers.field: must name a field"
    if not isinstance(labels, Mapping) or len(labels) < 2:
        return "answers.labels: needs two or more labels"
    for label, entry in labels.items():
        also = entry.get("also", []) if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(entry.get("text"), str) or not entry["text"]:
            return f"answers.labels.{label}: needs a `text`"
        if not isinstance(also, list) or not all(isinstance(word, str) and word for word in also):
            return f"answers.labels.{label}.also: must be a list of texts"
    return None


def load_questions(task: Task, path: Path, max_rejected_share: float) -> tuple[list[Question], dict[str, Any]]:
    """All usable questions of a file and the counts of what was rejected.

    Raises:
        UserError: when the file is unreadable, has no usable row, repeats an id, or has more bad rows than allowed.
    """
    rejected = Rejections(path)
    questions, total = [], 0
    for number, row in read_rows(path):
        total += 1
        try:
            questions.append(task.question(row, number))
        except BadRow as error:
            rejected.add(number, error)
    rejected.check(max(total, 1), max_rejected_share, f"tasks.{task.name}.max_rejected_share")
    if not questions:
        raise UserError("a file has no usable row", str(path), f"check `tasks.{task.name}.source`")
    (identity, count), *_ = Counter(question.id for question in questions).most_common(1)
    if count > 1:
        remedy = f"give each row an id of its own, or write `id: {ROW_NUMBER}` in the task's definition"
        raise UserError(f"id {identity!r} stands twice or more often", str(path), remedy)
    counts = {"rows": total, "usable": len(questions), "rejected": dict(rejected.reasons)}
    return questions, {**counts, "same_answers": sum(map(same_answers, questions))}
