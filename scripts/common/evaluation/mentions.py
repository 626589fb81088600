"""Where a line of generated text names an answer: whole words, in scripts with spaces and without."""

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from common.data.plain_text import plain_text

_STRUCK = re.compile(r"~~.*?~~")
_EMPHASIS = re.compile(r"\*+(?=\S)|(?<=\S)\*+|(?<!\w)_+|_+(?!\w)")  # stars on a word, underscores around one
_IT_IS = re.compile(r"it(?:'s| is) (\S+ \S+ .+)")

_HANGUL = re.compile("[\uac00-\ud7a3]")
_HIRAGANA = re.compile("[\u3041-\u309f]")
_WORDS = re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u30a1-\u30fa\u30fc-\u30ff]")  # Han and Katakana
_THAI = re.compile("[\u0e01-\u0e4e]")

# What may follow a noun in Korean and leave it the same noun: particles, the copula, 하다.
_COPULA = "입니다|이다|이에요|예요|이라고|이라"
_POLITE = "이?(?:요|네요|군요|지요|죠)"
_AFTER_SYLLABLE = re.compile(f"은|는|을|를|이|에|에서|으로|과|와|도|이나|이랑|{_COPULA}|{_POLITE}")
_AFTER_NOUN = re.compile(
    f"적?(?:이|가|은|는|을|를|의|에|에서|에게|에는|에도|도|만|로|으로|와|과|랑|이랑|나|이나|{_COPULA}|{_POLITE}|다|에요|야|이야|임|인|일"
    "|고|이고|며|이며|라|라고|이었(?:다|어요|습니다)|였(?:다|어요|습니다)|이겠(?:다|네요|습니다)|입니다만|이랍니다|이니까|이므로|이기|합니다|해요|하다|한|함|했습니다)?"
)
# Yes and no; with a particle they are other words (예를: an example, 네가: you).
_INTERJECTIONS = ("예", "네", "응", "아니요", "아니오")
_AFTER_INTERJECTION = re.compile(_COPULA)
# Japanese: particles before a word, particles and the copula after it.
_BEFORE_KANA, _AFTER_KANA = "はがをにのもとでへ", "はがをにのもとでへだなかやよねじさ"
# Chinese: what may stand before and after a word without a space.
_BEFORE_HAN = (*"是为為在去到选選叫于於很太最更较較说說个個的了有和与與或也都就即应應该該", "非常", "十分")
_AFTER_HAN = "的了吧啊呢呀吗嗎和与與或是在也里裡而但"
_BEFORE_THAI, _AFTER_THAI = ("คือ", "ว่า", "เป็น", "เลือก", "ตอบ"), ("ครับ", "ค่ะ", "คะ", "นะ", "และ", "หรือ")


@dataclass(frozen=True)
class Mention:
    """A wording of an answer at a place of a line."""

    start: int
    end: int
    answer: int


def readable(text: str) -> str:
    """A text as it is compared: `plain_text` without HTML's entities, Markdown's emphasis and what that strikes out."""
    line = _STRUCK.sub(" ", plain_text(html.unescape(text)))
    return " ".join(_EMPHASIS.sub("", line).split())


def wordings(accepted: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """(answer, wording) without a final full stop; empty ones name nothing.

    "It's" or "It is" before three words or more may be spelled either way or left out.
    """
    pairs = [(i, readable(wording).rstrip(".。")) for i, each in enumerate(accepted) for wording in each]
    return [(i, spelled) for i, wording in pairs if wording for spelled in _spellings(wording)]


def _spellings(wording: str) -> list[str]:
    match = _IT_IS.fullmatch(wording)
    return [f"it's {match[1]}", f"it is {match[1]}", match[1]] if match else [wording]


def find_mentions(line: str, accepted: Sequence[Sequence[str]]) -> list[Mention]:
    """Every mention in a `readable` line that is no part of a longer word or of a longer mention, in order."""
    found = [
        Mention(match.start(), match.start() + len(wording), answer)
        for answer, wording in wordings(accepted)
        for match in re.finditer(f"(?={re.escape(wording)})", line)
        if _stands_apart(line, match.start(), match.start() + len(wording))
    ]
    return sorted((mention for mention in found if not _inside_longer(mention, found)), key=lambda m: m.start)


def _inside_longer(mention: Mention, others: Sequence[Mention]) -> bool:
    length = mention.end - mention.start
    return any(o.start < mention.end and mention.start < o.end and o.end - o.start > length for o in others)


def _is_letter(char: str) -> bool:
    """Whether a character belongs to a word: letters, digits, underscores and the marks on them."""
    return char.isalnum() or char == "_" or (char != "" and unicodedata.category(char)[0] == "M")


def _stands_apart(line: str, start: int, end: int) -> bool:
    wording, before, after = line[start:end], line[:start], line[end:]
    return not (_joined_before(wording, before) or _joined_after(wording, after))


def _joined_before(wording: str, before: str) -> bool:
    """Whether a wording is the end of a longer word or number."""
    if not before:
        return False
    first, last = wording[0], before[-1]
    if first.isdigit() and (last == "-" or re.search(r"\d[.,:/]$", before)):
        return True
    if not _is_letter(last):
        return last == "-" and _is_letter(before[-2:-1]) and _is_letter(first)
    if _THAI.match(first) and _THAI.match(last):
        return not before.endswith(_BEFORE_THAI)
    if _HIRAGANA.match(first) and _HIRAGANA.match(last):
        return last not in _BEFORE_KANA
    if _WORDS.match(first) and _WORDS.match(last):
        return not before.endswith(_BEFORE_HAN)
    return _kind(first) == _kind(last) or first.isdigit()


def _joined_after(wording: str, after: str) -> bool:
    """Whether a wording is the beginning of a longer word or number."""
    if not after:
        return False
    last, following = wording[-1], after[0]
    if last.isdigit() and re.match(r"[.,:/]\d", after):
        return True
    if not _is_letter(following):
        joins = following == "-" or (following == "'" and _kind(last) == _kind(after[1:2]) == "other")
        return joins and _is_letter(after[1:2]) and _is_letter(last)
    if _HANGUL.match(following):
        return not _korean_ending(wording, re.match("[\uac00-\ud7a3]+", after)[0])  # type: ignore[index]
    if _HIRAGANA.match(following):
        return following not in _AFTER_KANA
    if _THAI.match(following) and _THAI.match(last):
        return not after.startswith(_AFTER_THAI)
    if _WORDS.match(following) and (_WORDS.match(last) or last.isdigit()):
        return following not in _AFTER_HAN
    return _kind(last) == _kind(following)


def _korean_ending(wording: str, ending: str) -> bool:
    if wording in _INTERJECTIONS:
        allowed = _AFTER_INTERJECTION
    else:
        allowed = _AFTER_SYLLABLE if len(wording) == 1 else _AFTER_NOUN
    return allowed.fullmatch(ending) is not None


def _kind(char: str) -> str:
    """The script of a letter, as far as a change of script ends a word."""
    kinds = {"Hangul": _HANGUL, "Hiragana": _HIRAGANA, "Han": _WORDS, "Thai": _THAI}
    return next((name for name, pattern in kinds.items() if pattern.match(char)), "other")
