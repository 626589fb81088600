"""Texts of tables and report in another language, as data: `resources/report/<language>.yaml`.

English is written where it is needed, as `Text("Rater {name}", name=alias)`; the template is the translation's key.
"""

import argparse
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.base.errors import UserError
from common.base.templates import fill
from common.files.yaml_files import read_yaml


class Text(str):
    """An English text that remembers what it was made of, so that `Words` can say it in another language.

    A field that is a Text is translated too; any other field is data and stays as it is.

    Attributes:
        template: English with plain `{field}`s, the key of its translations.
        fields: what they hold.
    """

    template: str
    fields: Mapping[str, object]

    def __new__(cls, template: str, /, **fields: object) -> "Text":
        """The template filled in.

        Raises:
            ValueError: when the template has a field that is not given.
        """
        text = super().__new__(cls, fill(template, fields))
        text.template, text.fields = template, fields
        return text


@dataclass(frozen=True)
class Words:
    """Translations of English texts; a text without one stays English.

    Attributes:
        language: its code, as `lang` attributes have it.
        texts: translations by English text or template.
    """

    language: str = "en"
    texts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> str:
        """The text in this language; a plain string is looked up as a whole."""
        if not isinstance(text, Text):
            return self.texts.get(text, text)
        fields = {name: self(value) if isinstance(value, Text) else value for name, value in text.fields.items()}
        return fill(self.texts.get(text.template, text.template), fields)


ENGLISH = Words()


def load_words(path: Path | None) -> Words:
    """A language's texts; English without a file.

    Args:
        path: YAML with `language` and `texts`, a mapping of English texts to translations, both with `{field}`s.

    Raises:
        UserError: when the file is not such a mapping, or a translation has other fields than its text.
    """
    if path is None:
        return ENGLISH
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("language"), str):
        raise UserError("translations do not say their language", f"{path}, key `language`", "fix the file")
    texts = content.get("texts")
    if not isinstance(texts, dict) or not all(isinstance(part, str) for pair in texts.items() for part in pair):
        raise UserError("translations are not a mapping of texts to texts", f"{path}, key `texts`", "fix the file")
    for text, translation in texts.items():
        if _fields(text) is None or _fields(text) != _fields(translation):
            raise UserError("a translation has other {fields} than its text", f"{path}: {text}", "fix the file")
    return Words(content["language"], texts)


def _fields(template: str) -> set[str] | None:
    """Names of a template's plain fields; None if it is not a template that `fill` takes."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        fill(template, dict.fromkeys(names, ""))
    except ValueError:
        return None
    return names


def add_words_argument(parser: argparse.ArgumentParser) -> None:
    """`--words`, the file of another language."""
    parser.add_argument("--words", type=Path, nargs="*", default=[], help="translations; without them English")


def words_of(arguments: argparse.Namespace) -> Words:
    """The language asked for with `--words`."""
    return load_words(next(iter(arguments.words), None))
