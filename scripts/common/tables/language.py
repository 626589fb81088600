"""Texts of tables and report in another language, as data: `resources/report/<language>.yaml`."""

import argparse
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.base.errors import UserError
from common.base.templates import fill
from common.files.yaml_files import read_yaml


@dataclass(frozen=True)
class Words:
    """Translations of English texts; a text without one stays English.

    Attributes:
        language: its code, as `lang` attributes have it.
        texts: translations of whole texts.
        patterns: (English with fields, translation with the same fields); what stands in a field is translated too.
    """

    language: str = "en"
    texts: Mapping[str, str] = field(default_factory=dict)
    patterns: Sequence[tuple[re.Pattern[str], str]] = ()

    def __call__(self, text: str) -> str:
        """The text in this language."""
        if text in self.texts:
            return self.texts[text]
        for pattern, translation in self.patterns:
            if matched := pattern.fullmatch(text):
                found = {name: self.texts.get(value, value) for name, value in matched.groupdict().items()}
                return fill(translation, found)
        return text


ENGLISH = Words()
# Fields that hold a number: a pattern of little else would otherwise fit any sentence.
NUMBERS = ("low", "high", "points")


def load_words(path: Path | None) -> Words:
    """A language's texts; English without a file.

    Args:
        path: YAML with `language` and `texts`, a mapping of English texts to translations, both with `{field}`s.

    Raises:
        UserError: when the file is no such mapping, or a translation has other fields than its text.
    """
    if path is None:
        return ENGLISH
    content = read_yaml(path)
    texts = content.get("texts") if isinstance(content, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(part, str) for pair in texts.items() for part in pair):
        raise UserError("translations are no mapping of texts to texts", f"{path}, key `texts`", "mend the file")
    for text, translation in texts.items():
        if _fields(text) != _fields(translation):
            raise UserError("a translation has other {fields} than its text", f"{path}: {text}", "mend the file")
    patterns = [(_pattern(text), translation) for text, translation in texts.items() if _fields(text)]
    plain = {text: translation for text, translation in texts.items() if not _fields(text)}
    return Words(str(content["language"]), plain, tuple(patterns))


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _pattern(text: str) -> re.Pattern[str]:
    parts = []
    for literal, name, _, _ in string.Formatter().parse(text):
        inside = r"[-+\u2212\u2013.,0-9]+" if name in NUMBERS else ".+?"
        parts.append(re.escape(literal) + (f"(?P<{name}>{inside})" if name else ""))
    return re.compile("".join(parts), re.DOTALL)


def add_words_argument(parser: argparse.ArgumentParser) -> None:
    """`--words`, the file of another language."""
    parser.add_argument("--words", type=Path, nargs="*", default=[], help="translations; without them English")


def words_of(arguments: argparse.Namespace) -> Words:
    """The language asked for with `--words`."""
    return load_words(next(iter(arguments.words), None))
