"""A figure made fit to stand inside a page: its ids apart from others', no style of its own, colours of the page."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from common.figures import FAINT, INK, MUTED, PAPER

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
COLOURS = {INK: "var(--text)", MUTED: "var(--muted)", FAINT: "var(--figure-faint)", PAPER: "var(--surface)"}
FONT_SIZE = re.compile(r"([\d.]+)px")
REFERENCE = re.compile(r"url\(#([^)]+)\)")


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
