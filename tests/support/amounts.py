"""How much of a test that draws its cases at random is done: a tenth, or FUZZ percent."""

import os

PERCENT = int(os.environ.get("FUZZ", "10"))


def share(cases: int, least: int = 0) -> int:
    """That share of `cases`, rounded up; with `least`, so many unless there are fewer in all."""
    return max(-(-cases * PERCENT // 100), min(cases, least))


def examples(cases: int) -> int:
    """Examples Hypothesis draws where `cases` are the full number."""
    return share(cases, least=10)
