"""A Markdown page as GitHub shows it, near enough to see what is too wide."""

from pathlib import Path

from markdown_it import MarkdownIt

# Sizes of GitHub's own style: the column of a README beside the sidebar, the whole width on a phone.
STYLE = """
* { box-sizing: border-box; }
body { margin: 0; overflow-wrap: break-word; }
body { font: 16px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; color: #1f2328; }
article { max-width: 894px; padding: 32px; margin: 0 auto; }
h1, h2 { padding-bottom: .3em; border-bottom: 1px solid #d1d9e0; }
a { color: #0969da; }
img { max-width: 100%; }
blockquote { margin: 0 0 16px; padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0; }
code { padding: .2em .4em; font-size: 85%; background: #eff1f3; border-radius: 6px; }
pre { padding: 16px; overflow: auto; background: #f6f8fa; line-height: 1.45; border-radius: 6px; }
pre code { padding: 0; background: none; white-space: pre; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; }
th, td { padding: 6px 13px; border: 1px solid #d1d9e0; }
@media (max-width: 767px) { article { padding: 16px; } }
"""


def render(page: Path) -> str:
    """HTML of a Markdown page; its links and pictures are found beside the page.

    Args:
        page: a Markdown file.
    """
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    body = markdown.render(page.read_text(encoding="utf-8"))
    head = f'<meta charset="utf-8"><base href="{page.resolve().parent.as_uri()}/"><title>{page.name}</title>'
    return f"<!doctype html>\n<html>\n<head>{head}<style>{STYLE}</style></head>\n<article>\n{body}</article>\n</html>\n"
