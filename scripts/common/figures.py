"""Figures as SVG: the same bytes for the same data, with a title for screen readers."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from common.files import write_text


def save_svg(figure: Figure, path: Path, description: str) -> None:
    """Write a figure atomically, without date and with fixed ids.

    Args:
        figure: what to save.
        path: SVG file.
        description: what the figure shows, for people who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "sft-rl-coh", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": description})
    write_text(path, buffer.getvalue())
