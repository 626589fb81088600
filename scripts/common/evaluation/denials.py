"""Mentions of an answer that do not affirm it: denied, doubted, asked."""

import re
from collections.abc import Sequence

from common.evaluation.mentions import Mention

# Affirms although a negating word stands in it.
_AFFIRMING = re.compile(
    r"\b(?:not (?:only|just|merely|simply|to mention)|nothing (?:but|short of|less than)|no (?:doubt|question|wonder)"
    r"|without (?:a |any )?(?:doubt|question)|doubtless|can(?:not|'t| not) (?:help but|deny|be denied))\b"
    r"|非常|不[仅僅但只光错錯过過管]|[没沒][错錯]|毫?[无無]疑[问問]?|[无無][论論]|間?違い(?:な[いく]|ありません)"
    r"|틀림 ?없|의심할? ?(?:여지|바)[가는도]? ?없|뿐만? ?아니라"
)
# Denies what follows it in its sentence, up to the first mention.
_NEGATORS = re.compile(
    r"\b(?:not|never|neither|nor|cannot|none|nothing|nobody|nowhere|non|hardly|barely|scarcely|seldom|rarely|unclear|unsure"
    r"|uncertain|\w*n't|(?:is|are|was|were|do|does|did|has|have|had|would|could|should|ca|wo)nt)\b"
    r"|不|[没沒]|[并並绝絕]非|未必"
)
# Korean adverbs that deny the verb or adjective right behind them and nothing else.
_NEXT_WORD = re.compile(r"(?<!\w)[안못] ")
# Denies or doubts what follows it, up to a comma.
_DOUBTS = re.compile(
    r"\b(?:without|lack(?:s|ed|ing)?|fail(?:s|ed|ing)?|far from|anything but|instead of|(?:rather|less|other) than"
    r"|unlikely|unable|impossible|doubt\w*|deny|denies|denied|wrong|incorrect|false|untrue|opposite of|contrary to"
    r"|except|unlike|(?:absence|devoid|void|free|short) of|zero|(?<!\ba )(?:few|little)|hesitate|reluctant|refuse[sd]?"
    r"|avoid(?:s|ed)?|if|whether|unless"
    r"|too\b[^,.;:!?]*?\bto)\b|是否|如果"
)
_NO = re.compile(r"\bno\b")
# What may follow an answer "no"; before any other word it is "no doubt", "no one", "no good".
_AFTER_NO = re.compile(
    r"$|\s*[^\w\s-]|\s(?:it|its|this|that|these|those|there|here|they|he|she|we|you|i|the|a|an|my|his|her|our|their|because"
    r"|since|as|and|or|but|so|for|if|while|although|though|is|was|are|were|does|do|did|not|never|at|in|on|to|by|from)\b"
    r"|\s-\s"
)
# A verb and a denial right behind a mention: "Yes is not right", "positive or not".
_VERB = r"(?:is|was|are|were|does|do|did|seems?|sounds?|(?:would|could|can|will|wo|ca)(?: be)?)"
_DENIAL = (
    r"(?:not|never|hardly|wrong|incorrect|false|untrue|unlikely|missing|absent|lacking|out of the question"
    r"|an? (?:overstatement|exaggeration|stretch|lie|mistake))"
)
_DENIED_AFTER = re.compile(
    r"[\"')\]]* (?:or not|(?P<pronoun>(?:it|this|that|they) )?"
    rf"(?:cannot|{_VERB}(?: (?:\w+ly|just|quite))?(?: ?n't| {_DENIAL})))\b"
)
# The same at the end of a clause in Korean, Japanese and Chinese, questions included.
_DENIED_AT_END = re.compile(
    r"아[니닌닙님냐녜]|않|없|못[하한할합]|(?<!\w)안(?!\w)|어[렵려]|힘들|틀[렸린리]|대신|보다|거리가"
    r"|な[いく]|なかった|ません|より|違[うい]|か$|不[对對正]|[错錯]|[吗嗎]"
)
# Between an answer that holds a doubt and what it is about, and between two of these.
_OBJECT_LINK = re.compile(r" (?:or )?|/")
_LINK = re.compile(r"(?:도|이나|나|과|와|이랑|랑|も|でも|や|と|和|与|或)\s*")

_SENTENCE_END = re.compile(r"[.!?;。]*[!?;。][.!?;。]*|\.{2,}|\.(?!\w)|:(?!\d)")
_TURN = re.compile(
    r"\b(?:but|however(?!,)|whereas|although|though|instead(?! of))\b"
    r"|而是|但|可是|然而|しかし|하지만|그러나|아니라|では?なく"
)
_COMMA = re.compile(r"[,、]|\s-\s")
_CONCLUSION = re.compile(r"\s*(?:so|therefore|thus|hence|instead|rather)\b")
# Refusals that are whole by themselves: what follows their comma is said anew.
_SURELY = r"(?:no|well|of course|certainly|definitely|probably|absolutely|surely|i think|i guess) "
_WHOLE_REFUSAL = re.compile(
    rf"(?:{_SURELY})+not|(?:{_SURELY})*(?:not (?:really|at all|exactly|quite)|i (?:don't|do not) think so)"
)


def affirmed(line: str, mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions of a `readable` line that affirm their answer.

    Args:
        line: what was generated.
        mentions: where it names answers, in order.
    """
    spans = {(mention.start, mention.end) for mention in mentions}
    nouns = [match for match in _NO.finditer(line) if not _AFTER_NO.match(line, match.end())]
    ends = _AFFIRMING.sub(lambda match: "#" * len(match[0]), line)
    strong = [match for match in [*_NEGATORS.finditer(ends), *nouns] if ends[match.start()] != "#"]
    no_one = {match.span() for match in nouns}
    adverbs = {match.end() for match in _NEXT_WORD.finditer(ends)}
    denied = no_one | {span for span in spans if span[0] in adverbs}
    for carries, matches in ((True, strong), (False, _DOUBTS.finditer(ends))):
        for match in matches:
            if match.span() in no_one or not _is_within(match, spans):
                denied |= _reached(ends, match, mentions, carries)
                denied |= {
                    span for span in spans - {match.span()} if match.start() <= span[0] and span[1] <= match.end()
                }
            elif not carries:
                denied |= _objects(ends, match, mentions)
    return [
        mention
        for mention in mentions
        if (mention.start, mention.end) not in denied and not _denied_after(ends, mention, mentions)
    ]


def _is_within(match: re.Match[str], spans: set[tuple[int, int]]) -> bool:
    """Whether a negating word is part of an answer, such as "not hungry", and says nothing of others."""
    return any(start <= match.start() and match.end() <= end for start, end in spans)


def _objects(line: str, doubt: re.Match[str], mentions: Sequence[Mention]) -> set[tuple[int, int]]:
    """The mentions right behind an answer that holds a doubt: "it's impossible to say yes or no"."""
    end = max(mention.end for mention in mentions if mention.start <= doubt.start() and doubt.end() <= mention.end)
    found = set()
    for mention in mentions:
        if mention.start >= end and _OBJECT_LINK.fullmatch(line, end, mention.start):
            found.add((mention.start, mention.end))
            end = mention.end
    return found


def _reached(line: str, negator: re.Match[str], mentions: Sequence[Mention], carries: bool) -> set[tuple[int, int]]:
    """The mentions a negator denies: those up to the next comma or, if there are none, up to the one after."""
    end = min((match.start() for pattern in (_SENTENCE_END, _TURN) if (match := pattern.search(line, negator.end()))),
              default=len(line))  # fmt: skip
    commas = [match.end() for match in _COMMA.finditer(line, negator.end(), end)]
    for place, (start, stop) in enumerate(zip([negator.end(), *commas], [*commas, end], strict=True)):
        if place and _CONCLUSION.match(line, start):
            break
        reached = {(mention.start, mention.end) for mention in mentions if start <= mention.start < stop}
        if reached or not carries or (not place and _is_whole_refusal(line, negator, stop)):
            return reached
    return set()


def _is_whole_refusal(line: str, negator: re.Match[str], stop: int) -> bool:
    before = [
        match.end() for pattern in (_SENTENCE_END, _COMMA) for match in pattern.finditer(line, 0, negator.start())
    ]
    return _WHOLE_REFUSAL.fullmatch(line[max(before, default=0) : stop].strip(" ,-")) is not None


def _denied_after(line: str, mention: Mention, mentions: Sequence[Mention]) -> bool:
    """Whether what comes behind a mention takes it back: a question mark, "is not", a verb of denial at the end."""
    sentence = _SENTENCE_END.search(line, mention.end)
    if sentence and "?" in sentence[0]:
        return True
    behind = _DENIED_AFTER.match(line, mention.end)
    if behind and not (behind["pronoun"] and line.startswith("no", mention.start)):  # "No it is not" agrees
        return True
    end, following = mention.end, [other for other in mentions if other.start >= mention.end]
    while following and _LINK.fullmatch(line, end, following[0].start):  # "neither the one nor the other"
        end = following[0].end
        following = [other for other in following if other.start >= end]
    stop = min(
        [other.start for other in following]
        + [match.start() for pattern in (_SENTENCE_END, _COMMA) if (match := pattern.search(line, mention.end))],
        default=len(line),
    )
    return _DENIED_AT_END.search(line[end:stop].rstrip()) is not None
