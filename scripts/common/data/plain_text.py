"""Texts as they are compared: one form for all the ways to write the same letters."""

import re
import unicodedata

_QUOTES = {**dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4`", "'"),
           **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"')}  # fmt: skip
_HYPHENS = dict.fromkeys("\u2010\u2011\u2212\ufe63\uff0d", "-")
_DASHES = dict.fromkeys("\u2012\u2013\u2014\u2015", " - ")
# Joiners, marks of direction, fillers, variants of a sign: Unicode's ignorable characters.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_TYPOGRAPHIC = str.maketrans({**_QUOTES, **_HYPHENS, **_DASHES})


def plain_text(text: str) -> str:
    """Unicode's compatible form (NFKC), case folded, plain quotes and hyphens, one space for any white space.

    A dash becomes a hyphen between spaces; characters that show nothing are left out.
    """
    if text.isascii():  # what most texts are, and twenty times as fast
        return " ".join(text.casefold().replace("`", "'").split())
    typed = unicodedata.normalize("NFKC", text.translate(_TYPOGRAPHIC)).casefold().translate(_TYPOGRAPHIC)
    return " ".join(unicodedata.normalize("NFKC", _UNSEEN.sub("", typed)).split())


def spelling(text: str) -> str:
    """What two texts share that differ in case, spacing or Unicode form alone."""
    return plain_text(text).replace(" ", "")
