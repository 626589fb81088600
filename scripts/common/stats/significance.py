"""Exact McNemar test, Holm's correction, and how a p-value is written."""

from collections.abc import Sequence

LEVEL = 0.05


def p_value_number(value: float, below: str = "<") -> str:
    """`0.625`, or `<0.001`: a p-value where its column or sentence names it; `below` is written before the smallest."""
    return f"{below}0.001" if value < 0.001 else f"{value:.3f}"


def p_value_text(value: float) -> str:
    """`p = 0.625`, or `p < 0.001`."""
    number = p_value_number(value, below="< ")
    return f"p {number}" if number.startswith("<") else f"p = {number}"


def mcnemar_p_value(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test: items only one of the two got right, as tosses of a fair coin."""
    n = wins + losses
    if n == 0:
        return 1.0
    term = total = 1
    for i in range(1, min(wins, losses) + 1):
        term = term * (n - i + 1) // i
        total += term
    tail = total / 2**n
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
