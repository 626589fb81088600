"""Figures as SVG: the same bytes for the same data, text as text, with a title and a description for screen readers."""

import html
import io
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from common.files import write_text

# The only colours of a figure. The report page maps each to a colour of its own, so that figures follow light and dark.
INK, MUTED, FAINT, PAPER = "#1b1f2a", "#5b6270", "#c9ccd3", "#ffffff"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "sft-rl-coh", "svg.fonttype": "none", "figure.facecolor": PAPER, "savefig.facecolor": PAPER,
    "axes.facecolor": "none", "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": MUTED,
    "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": FAINT, "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10, "legend.frameon": False,
    "axes.linewidth": 0.8, "lines.linewidth": 1.6, "font.sans-serif": ["DejaVu Sans"],
}  # fmt: skip


def smoothed(values: pd.Series) -> tuple[pd.Series, int]:
    """Centred moving mean over a tenth of the rows, and how many that are."""
    window = max(1, len(values) // 10)
    return values.rolling(window, min_periods=1, center=True).mean(), window


def save_svg(figure: Figure, path: Path, title: str, description: str = "") -> None:
    """Write a figure atomically, without date and with fixed ids.

    Args:
        figure: what to save.
        path: SVG file.
        title: what the figure is.
        description: what it shows, for people who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "sft-rl-coh", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    told = f"<desc>{html.escape(description)}</desc>" if description else ""
    text = buffer.getvalue().replace("</title>", f"</title>{told}", 1)
    write_text(path, text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1))
