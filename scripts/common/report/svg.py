"""Figures as SVG: the same bytes for the same data, text as text, with a title and a description for screen readers."""

import html
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from common.files.whole_files import write_text

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

FONT_SIZE = re.compile(r"([\d.]+)px")

REFERENCE = re.compile(r"url\(#([^)]+)\)")


# The only colours of a figure. The report page maps each to a colour of its own, so that figures follow light and dark.
INK, MUTED, FAINT, PAPER = "#1b1f2a", "#5b6270", "#c9ccd3", "#ffffff"
COLOURS = {INK: "var(--text)", MUTED: "var(--muted)", FAINT: "var(--figure-faint)", PAPER: "var(--surface)"}
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


def inline_svg(path: Path, prefix: str) -> str:
    """The figure as an `<svg>` element.

    A page whose policy forbids inline styles shows attributes only, so declarations become attributes.

    Args:
        path: SVG file of this package.
        prefix: put before every id.
    """
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - a file this package wrote
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _rewrite(element, prefix)
    description = root.find(f"{{{SVG}}}desc")
    if description is not None:
        description.set("id", f"{prefix}-desc")
        root.set("aria-describedby", f"{prefix}-desc")
    width, height = root.get("viewBox", "0 0 1 1").split()[2:]
    root.attrib.pop("version", None)
    root.set("width", width)
    root.set("height", height)
    root.set("stroke-linejoin", "round")
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{SVG}"', "")


def _rewrite(element: ElementTree.Element, prefix: str) -> None:
    """Ids and references prefixed, declarations turned into attributes, colours into the page's."""
    if name := element.attrib.pop("id", None):
        element.set("id", f"{prefix}-{name}")
    if target := element.attrib.pop(f"{{{XLINK}}}href", None):
        element.set("href", f"#{prefix}-{target.removeprefix('#')}")
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            if size := FONT_SIZE.search(value):
                element.set("font-size", size[1])
        elif key and key != "font-family":
            element.set(key, value)
    for key, value in element.attrib.items():
        element.set(key, COLOURS.get(value.lower(), REFERENCE.sub(rf"url(#{prefix}-\1)", value)))
