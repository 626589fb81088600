"""A second scorer, from the description in docs/tasks.md alone: characters and words, where the first has patterns.

`python tests/support/independent_scorer.py results/demo` checks a whole run.
"""

import html
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pyarrow.parquet import read_table

Span = tuple[int, int]


def each(text: str) -> list[str]:
    return text.split()


AFFIRMING = [
    "not only", "not just", "not merely", "not simply", "not to mention", "nothing but", "nothing short of",
    "nothing less than", "no doubt", "no question", "no wonder", "doubtless",
    *(f"without {a}{noun}" for a in ("", "a ", "any ") for noun in ("doubt", "question")),
    *(f"{can} {verb}" for can in ("cannot", "can't", "can not") for verb in ("help but", "deny", "be denied")),
]  # fmt: skip
AFFIRMING_ASIAN = [
    "非常", "違いない", "違いなく", "違いありません", *(f"不{sign}" for sign in "仅僅但只光错錯过過管"),
    *(a + b for a in "没沒" for b in "错錯"), *(a + b for a in "无無" for b in "疑论論"),
    *(f"틀림{space}없" for space in ("", " ")),
    *(f"뿐{only}{space}아니라" for only in ("", "만") for space in ("", " ")),
    *(f"{doubt}{space}{room}{particle}{gap}없" for doubt in ("의심", "의심할") for space in ("", " ")
      for room in ("여지", "바") for particle in ("", "가", "는", "도") for gap in ("", " ")),
]  # fmt: skip
NEGATORS = each(
    """not never neither nor cannot none nothing nobody nowhere non hardly barely scarcely seldom rarely unclear unsure
    uncertain isnt arent wasnt werent dont doesnt didnt hasnt havent hadnt wouldnt couldnt shouldnt cant wont"""
)
NEGATORS_ASIAN = ("不", "没", "沒", "并非", "並非", "绝非", "絕非", "未必")
DOUBTS = [
    *each("without lack lacks lacked lacking fail fails failed failing unlikely unable impossible deny denies denied"),
    *each("wrong incorrect false untrue except unlike zero few little hesitate reluctant refuse refuses refused"),
    "if", "whether", "unless", "far from", "anything but", "instead of", "rather than", "less than", "opposite of",
    "contrary to", "absence of", "devoid of", "void of", "free of", "short of", "other than",
    "avoid", "avoids", "avoided",
]  # fmt: skip
AFTER_NO = each(
    """it its this that these those there here they he she we you i the a an my his her our their because since as and
    or but so for if while although though is was are were does do did not never at in on to by from"""
)
TURNS = each("but however whereas although though instead")
TURNS_ASIAN = each("而是 但 可是 然而 しかし 하지만 그러나 아니라 でなく ではなく")
CONCLUSIONS = each("so therefore thus hence instead rather")
FILLERS = [*each("no well certainly definitely probably absolutely surely"), "of course", "i think", "i guess"]
REFUSALS = ("not really", "not at all", "not exactly", "not quite", "i don't think so", "i do not think so")
VERBS = each("is was are were does do did seem seems sound sounds would could can will wo ca")
MODALS = each("would could can will wo ca")
DENIALS = [
    *([word] for word in each("not never hardly wrong incorrect false untrue unlikely missing absent lacking")),
    each("out of the question"),
    *([a, noun] for a in ("a", "an") for noun in ("overstatement", "exaggeration", "stretch", "lie", "mistake")),
]
DENIALS_ASIAN = each(
    """아니 아닌 아닙 아님 아냐 아녜 않 없 못하 못한 못할 못합 어렵 어려 힘들 틀렸 틀린 틀리 대신 보다 거리가
    ない なく なかった ません より 違う 違い 不对 不對 不正 错 錯 吗 嗎"""
)
LINKS = each("도 이나 나 과 와 이랑 랑 も でも や と 和 与 或")  # "neither the one nor the other" in Asian languages

COPULA = each("입니다 이다 이에요 예요 이라고 이라")
POLITE = each("요 이요 네요 이네요 군요 이군요 지요 이지요 죠 이죠")
SYLLABLE_ENDINGS = [*each("은 는 을 를 이 에 에서 으로 과 와 도 이나 이랑"), *COPULA, *POLITE]
NOUN_ENDINGS = [
    *("", *COPULA, *POLITE),
    *each("이 가 은 는 을 를 의 에 에서 에게 에는 에도 도 만 로 으로 와 과 랑 이랑 나 이나 다 에요 야 이야 임 인 일"),
    *each("고 이고 며 이며 라 라고 합니다 해요 하다 한 함 했습니다"),
    *each("였다 였어요 였습니다 이었다 이었어요 이었습니다 이겠다 이겠네요 이겠습니다"),
    *each("입니다만 이랍니다 이니까 이므로 이기"),
]
YES_NO = each("예 네 응 아니요 아니오")
NEIGHBOURS = {  # by script: what may touch a word before and after it
    "HIRAGANA": (tuple("はがをにのもとでへ"), tuple("はがをにのもとでへだなかやよねじさ")),
    "HAN": (
        ("非常", "十分", *"是为為在去到选選叫于於很太最更較较说說个個的了有和与與或也都就即应應该該"),
        tuple("的了吧啊呢呀吗嗎和与與或是在也里裡而但"),
    ),
    "THAI": (("คือ", "ว่า", "เป็น", "เลือก", "ตอบ"), ("ครับ", "ค่ะ", "คะ", "นะ", "และ", "หรือ")),
}


TYPED = str.maketrans(
    "\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4`\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u2010\u2011\u2212",
    "'" * 8 + '"' * 7 + "---",
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0f\ufeff",
)


def plain(text: str) -> str:
    """NFKC, case folded, plain quotes and hyphens, nothing unseen, struck out or for emphasis, single spaces."""
    told = html.unescape(text).translate(TYPED)
    for dash in "\u2012\u2013\u2014\u2015":
        told = told.replace(dash, " - ")
    told = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", told).casefold())
    while "~~" in told.partition("~~")[2]:
        before, _, rest = told.partition("~~")
        told = f"{before} {rest.partition('~~')[2]}"
    kept = []
    for at, char in enumerate(told):
        before, after = told[:at].rstrip("_")[-1:], told[at:].lstrip("_")[:1]
        star = (
            char == "*"
            and (told[at - 1 : at] or told[at + 1 : at + 2]).strip() != ""
            or (char == "*" and told[at + 1 : at + 2].strip() != "")
        )
        if not (star or (char == "_" and not (before.isalnum() and after.isalnum()))):
            kept.append(char)
    return " ".join("".join(kept).split())


def letter(char: str) -> bool:
    return bool(char) and (char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M")


def script(char: str) -> str:
    """HAN (with Katakana), HIRAGANA, HANGUL, THAI, or nothing for scripts with spaces."""
    name = unicodedata.name(char, "") if char else ""
    if name.startswith(
        ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "KATAKANA LETTER", "KATAKANA-HIRAGANA PROLONGED")
    ):
        return "HAN"
    return next((known for known in ("HANGUL", "HIRAGANA", "THAI") if name.startswith(known)), "")


def whole_word(line: str, start: int, end: int) -> bool:
    """Whether what stands there touches nothing that would make another word or number of it."""
    word, before, after = line[start:end], line[:start], line[end:]
    if word[0].isdigit() and (before[-1:] == "-" or (before[-1:] in (*".,:/",) and before[-2:-1].isdigit())):
        return False
    if word[-1].isdigit() and after[:1] in (*".,:/",) and after[1:2].isdigit():
        return False
    if before[-1:] == "-" and letter(before[-2:-1]) and letter(word[0]):
        return False
    spaced = not script(word[-1]) and not script(after[1:2])
    if (after[:1] == "-" or (after[:1] == "'" and spaced)) and letter(after[1:2]) and letter(word[-1]):
        return False
    return free_before(word, before) and free_after(word, after)


def free_before(word: str, before: str) -> bool:
    if not letter(before[-1:]):
        return True
    mine, other = script(word[0]), script(before[-1])
    if mine == other and mine in NEIGHBOURS:
        return before.endswith(NEIGHBOURS[mine][0])
    return mine != other and not word[0].isdigit()


def free_after(word: str, after: str) -> bool:
    if not letter(after[:1]):
        return True
    mine, other = script(word[-1]), script(after[0])
    if other == "HANGUL":
        ending = after[: next((i for i, char in enumerate(after) if script(char) != "HANGUL"), len(after))]
        if word in YES_NO or len(word) == 1:
            return ending in (COPULA if word in YES_NO else SYLLABLE_ENDINGS)
        return ending in NOUN_ENDINGS or ending.removeprefix("적") in NOUN_ENDINGS
    if other == "HIRAGANA" or (other in NEIGHBOURS and (mine == other or (other == "HAN" and word[-1].isdigit()))):
        return after.startswith(NEIGHBOURS[other][1])
    return mine != other


def find_mentions(line: str, wordings: list[list[str]]) -> list[tuple[int, int, int]]:
    """(start, end, answer): whole words that no longer wording overlaps."""
    found = []
    for answer, word in ((i, word) for i, words in enumerate(wordings) for word in words if word):
        found += [(a, b, answer) for a, b in places(line, [word]) if whole_word(line, a, b)]
    return [
        (start, end, answer)
        for start, end, answer in found
        if not any(a < end and start < b and b - a > end - start for a, b, _ in found)
    ]


def places(line: str, parts: Iterable[str]) -> list[Span]:
    return [(i, i + len(part)) for part in parts for i in range(len(line)) if line.startswith(part, i)]


def split_words(line: str) -> list[tuple[str, int, int]]:
    """(word, start, end): runs of letters and digits, and n't as one with its verb."""
    words: list[tuple[str, int, int]] = []
    for at, char in enumerate(line):
        if not (char.isalnum() or char == "_"):
            continue
        last = words[-1] if words else ("", -1, -1)
        follows = line[at + 1 : at + 2]
        ends = not (follows.isalnum() or follows == "_")
        negated = ends and line[max(at - 2, 0) : at + 1] == "n't" and last[2] == at - 1
        if last[2] == at or negated:
            words[-1] = (line[last[1] : at + 1], last[1], at + 1)
        else:
            words.append((char, at, at + 1))
    return words


def phrases(line: str, wanted: Iterable[str]) -> list[Span]:
    """Where the wanted words stand, one space apart."""
    words = split_words(line)
    starts, ends = {a for _, a, _ in words}, {b for _, _, b in words}
    return [(a, b) for a, b in places(line, wanted) if a in starts and b in ends]


def sentence_ends(line: str) -> list[Span]:
    """Marks that end a sentence; a point within a word or number ends none, nor a colon within a time."""
    ends, at = [], 0
    while at < len(line):
        stop = at + len(line[at:]) - len(line[at:].lstrip(".!?;。"))
        following = line[stop : stop + 1]
        inside = line[at:stop] == "." and (following.isalnum() or following == "_")
        if stop > at and not inside:
            ends.append((at, stop))
        if line[at] == ":" and not line[at + 1 : at + 2].isdigit():
            ends.append((at, at + 1))
        at = max(stop, at + 1)
    return ends


def commas(line: str) -> list[Span]:
    return sorted(places(line, (",", "、", " - ")))


def is_answer(line: str, end: int) -> bool:
    """Whether a "no" that ends there is an answer, and not said of a noun."""
    rest = line[end:]
    if rest[:1] == " " and (rest[1:2].isalnum() or rest[1:2] == "_"):
        return split_words(rest)[0][0] in AFTER_NO
    return not rest.lstrip(" ").startswith("-") or rest.startswith(" - ")


def affirmed(line: str, mentions: list[tuple[int, int, int]]) -> set[int]:
    """The answers that a line affirms."""
    spans = {(start, end) for start, end, _ in mentions}
    nouns = {(a, b) for word, a, b in split_words(line) if word == "no" and not is_answer(line, b)}
    hidden = {i for a, b in (*phrases(line, AFFIRMING), *places(line, AFFIRMING_ASIAN)) for i in range(a, b)}
    shown = "".join("#" if i in hidden else char for i, char in enumerate(line))
    strong = [(a, b) for word, a, b in split_words(shown) if word in NEGATORS or word.endswith("n't")]
    strong += [*places(shown, NEGATORS_ASIAN), *(span for span in nouns if span[0] not in hidden)]
    denied_next = {b + 1 for word, _, b in split_words(shown) if word in ("안", "못") and shown[b : b + 1] == " "}
    gone = {*nouns, *(span for span in spans if span[0] in denied_next)}
    for carries, negators in ((True, strong), (False, doubts(shown))):
        for span in negators:
            part_of_an_answer = any(start <= span[0] and span[1] <= end for start, end in spans)
            if span in nouns or not part_of_an_answer:
                gone |= reached(shown, span, spans, carries)
                gone |= {other for other in spans if other != span and span[0] <= other[0] and other[1] <= span[1]}
            elif not carries:  # "it's impossible to say yes or no"
                last = max(end for start, end in spans if start <= span[0] and span[1] <= end)
                for other in sorted(spans):
                    if other[0] >= last and shown[last : other[0]] in (" ", " or ", "/"):
                        gone.add(other)
                        last = other[1]
    return {answer for a, b, answer in mentions if (a, b) not in gone and not taken_back(shown, (a, b), spans)}


def doubts(line: str) -> list[Span]:
    """Words and phrases of doubt, from the left and none within another."""
    words = split_words(line)
    found = [*phrases(line, DOUBTS), *places(line, ("是否", "如果"))]
    found += [(a, b) for word, a, b in words if word.startswith("doubt")]
    after_a = {b + 1 for word, _, b in words if word == "a" and line[b : b + 1] == " "}
    found = [(a, b) for a, b in found if not (line[a:b] in ("few", "little") and a in after_a)]
    for word, a, _ in words:
        ends = [b for other, start, b in words if word == "too" and other == "to" and start > a]
        if ends and not set(line[a : ends[0]]) & set(",.;:!?"):
            found.append((a, ends[0]))
    chosen: list[Span] = []
    for span in sorted(found):
        if not chosen or span[0] >= chosen[-1][1]:
            chosen.append(span)
    return chosen


def turns(line: str) -> list[int]:
    words = [
        a for word, a, b in split_words(line) if word in TURNS and not line.startswith(("instead of", "however,"), a)
    ]
    return words + [a for a, _ in places(line, TURNS_ASIAN)]


def reached(line: str, negator: Span, spans: set[Span], carries: bool) -> set[Span]:
    """What a negator denies: up to the next comma, or in the first later part of the sentence that names an answer."""
    begin = negator[1]
    ends = [a + begin for a, _ in sentence_ends(line[begin:])] + [a for a in turns(line) if a >= begin]
    stop = min(ends, default=len(line))
    edges = [begin, *(b + begin for _, b in commas(line[begin:stop]))]
    for number, (edge, until) in enumerate(zip(edges, [*edges[1:], stop], strict=True)):
        part = line[edge:].lstrip()
        if number and part and part[0].isalnum() and split_words(part)[0][0] in CONCLUSIONS:
            return set()
        found = {span for span in spans if edge <= span[0] < until}
        if found or not carries or (number == 0 and refuses(line, negator, until)):
            return found
    return set()


def refuses(line: str, negator: Span, until: int) -> bool:
    """Whether a negator's part of the sentence is a refusal that is whole by itself."""
    before = line[: negator[0]]
    begin = max([b for _, b in (*sentence_ends(before), *commas(before))], default=0)
    said = whole = line[begin:until].strip(" ,-")
    while filler := next((filler for filler in FILLERS if said.startswith(f"{filler} ")), None):
        said = said[len(filler) + 1 :]
    return said in REFUSALS or (said == "not" and said != whole)


def taken_back(line: str, span: Span, spans: set[Span]) -> bool:
    """Whether a question mark, a verb with a denial, or an Asian denial before the next mention follows."""
    end = span[1]
    closing = [(a + end, b + end) for a, b in sentence_ends(line[end:])]
    if closing and "?" in line[closing[0][0] : closing[0][1]]:
        return True
    rest = line[end:].lstrip("\"')]")
    if rest.startswith(" ") and denies(rest[1:], agrees=line.startswith("no", span[0])):
        return True
    limits = [a for a, _ in closing] + [a + end for a, _ in commas(line[end:])]
    for following in sorted(other for other in spans if other[0] >= end):
        if (
            line[end : following[0]].strip() not in LINKS
            or line[end : following[0]] != line[end : following[0]].lstrip()
        ):
            limits.append(following[0])
            break
        end = following[1]
    clause = line[end : min(limits, default=len(line))].rstrip()
    alone = any(word == "안" for word, _, _ in split_words(clause))
    return alone or clause.endswith("か") or any(part in clause for part in DENIALS_ASIAN)


def denies(rest: str, agrees: bool) -> bool:
    """Whether a text begins with "is not", "would hardly", "or not" and the like."""
    told: list[str] = []
    first, *others = rest.replace(" n't", "n't").split("n't")
    spaced = first + "".join(("n't" if other[:1].isalnum() or other[:1] == "_" else " not") + other for other in others)
    for word, start, _ in split_words(spaced):
        if spaced[:start] != "".join(f"{before} " for before in told):
            break
        told.append(word)
    if told[:2] == ["or", "not"]:
        return True
    if told and told[0] in ("it", "this", "that", "they"):
        told = [] if agrees else told[1:]
    if not told or told[0] not in VERBS:
        return told[:1] == ["cannot"]
    told = told[2 if told[0] in MODALS and told[1:2] == ["be"] else 1 :]
    adverb = bool(told) and (told[0] in ("just", "quite") or (told[0].endswith("ly") and len(told[0]) > 2))
    options = [told, told[1:]] if adverb else [told]
    return any(option[: len(denial)] == denial for option in options for denial in DENIALS)


def named_answers(text: str, accepted: list[list[str]]) -> set[int]:
    """The answers that the first line of a text affirms."""
    line = plain(first_line(text))
    return affirmed(line, find_mentions(line, plain_wordings(accepted)))


def plain_wordings(accepted: list[list[str]]) -> list[list[str]]:
    """Wordings without a final full stop, "It's" and "It is" before three words or more both ways and left out."""
    found: list[list[str]] = [[] for _ in accepted]
    for answer, words in enumerate(accepted):
        for word in (plain(word).rstrip(".。") for word in words):
            rest = word.removeprefix("it's ").removeprefix("it is ")
            both = rest != word and len(rest.split(" ")) > 2
            found[answer] += [f"it's {rest}", f"it is {rest}", rest] if both else [word]
    return found


def first_line(text: str) -> str:
    return next((line for line in text.splitlines() if plain(line)), "")


def verdicts(row: dict, question: dict) -> dict[str, bool]:
    """Whether an answer is right under each scoring, by the name of the column that says so."""
    text, accepted = row["generation"], question["accepted"]
    whole = plain(first_line(text)).rstrip(".。")
    strict = {i for i, words in enumerate(plain_wordings(accepted)) if whole and whole in words}
    each = [logprob / tokens for logprob, tokens in zip(row["answer_logprobs"], row["answer_tokens"], strict=True)]
    answers = {"": named_answers(text, accepted), "_strict": strict, "_likelihood": {each.index(max(each))}}
    return {f"correct{scoring}": named == {question["gold"]} for scoring, named in answers.items()}


def check(results: Path) -> dict[str, list[str]]:
    """For every stored item of a results folder, the verdicts this scorer does not share."""
    items = {}
    for path in sorted([*results.glob("eval/**/*.parquet"), *results.glob("markers/**/*.parquet")]):
        questions = read_table(results / "data/tasks" / path.parent.name / "eval.parquet").to_pylist()
        by_id = {question["id"]: question for question in questions}
        for row in read_table(path).to_pylist():
            mine = verdicts(row, by_id[row["id"]])
            items[f"{path} {row['id']}"] = [name for name in mine if mine[name] != row[name]]
    return items


if __name__ == "__main__":
    checked = check(Path(sys.argv[1]))
    print(*(f"{item}: {names}" for item, names in checked.items() if names), f"{len(checked)} items checked", sep="\n")
    sys.exit(any(checked.values()) or not checked)
