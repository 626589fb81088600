"""Inputs that only say that there is none, as people and language models write them into Alpaca's `input`."""

import html
import re

from common.data.plain_text import plain_text

_GIVEN = r"(?:provided|given|needed|required|necessary|available|supplied|specified|applicable|present|found)"
_THING = (
    r"(?:(?:(?:additional|further|extra|other|specific|user) )?(?:inputs?(?: (?:text|data|values?))?|contexts?)"
    r"|(?:additional|further|extra|other) (?:information|details?|data))"
)
_TASK = r"(?:this|the) (?:task|instruction|question|prompt)"
_MARKERS = re.compile(
    rf"(?:(?:input|context) )?(?:"
    rf"(?:there (?:is|was) )?no ?{_THING}(?: (?:is |was |has been )?{_GIVEN})?(?: for {_TASK})?"
    rf"|{_TASK} does(?: not|n t|nt) (?:require|need|have) (?:an? |any )?{_THING}"
    rf"|(?:is )?not {_GIVEN}|does not apply|without (?:an? |any )?input|n a|none(?: {_GIVEN})?|null|nil"
    r"|(?:입력 ?(?:값|내용)?(?:이|은)? ?)?(?:없음|없다|없습니다)|해당 ?(?:사항)? ?없음"
    r"|(?:入力|特に|該当)?(?:なし|無し)|入力はありません|(?:无|無|没有|沒有)(?:输入|輸入)?|不(?:适|適)用"
    r"|keine? (?:eingabe|input)|(?:aucune|sans) entrée|(?:sin|ninguna) entrada|nenhuma entrada|nessun input"
    r")"
)
# Words that are often an input of their own: only in brackets do they say that there is none.
_IN_BRACKETS = re.compile(r"[<(\[{] ?(?:empty|blank|nothing) ?[>)\]}]")
# Written so by programs; `Na` is sodium and `Nan` a name.
_EXACT = ("NA", "na", "NaN", "nan", "NAN")
_DASHES = re.compile(r"-[- ]*|_+|\.+")


def says_no_input(text: str) -> bool:
    """Whether an input is one of the markers for none, such as `<noinput>`, `N/A`, `No input required.` or a dash."""
    unescaped = html.unescape(text).strip()
    plain = plain_text(unescaped)
    words = " ".join(re.sub(r"[\W_]+", " ", plain).split())
    return bool(
        _MARKERS.fullmatch(words)
        or _IN_BRACKETS.fullmatch(plain)
        or _DASHES.fullmatch(plain)
        or unescaped.strip("<>()[]{}#.\"'") in _EXACT
    )
