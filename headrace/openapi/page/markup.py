"""HTML as text: elements, and the little Markdown that descriptions have."""

from __future__ import annotations

import re
from html import escape
from typing import NewType

Html = NewType("Html", str)
"""Text that is HTML already; all other text is escaped where it goes into an element."""

_INLINE = re.compile(r"`(?P<code>[^`]+)`|\[(?P<text>[^\]]+)\]\((?P<url>https?://[^)\s]+)\)")


def element(name: str, *children: Html, **attributes: str) -> Html:
    """An element. `class_` is the attribute `class`; other underscores are hyphens."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>{''.join(children)}</{name}>")


def text(plain: str) -> Html:
    """Text as it is."""
    return Html(escape(plain))


def code(plain: str) -> Html:
    """A name, or a piece of code within a line."""
    return element("code", text(plain))


def link(to: str, *children: Html, **attributes: str) -> Html:
    """A link."""
    return element("a", *children, href=to, **attributes)


def line(markdown: str) -> Html:
    """One paragraph without its element: with code and links."""
    made, at = "", 0
    for match in _INLINE.finditer(markdown):
        made += text(markdown[at : match.start()])
        made += code(match["code"]) if match["code"] else link(match["url"], text(match["text"]))
        at = match.end()
    return Html(made + text(markdown[at:]))


def prose(markdown: str) -> Html:
    """Paragraphs."""
    return join(element("p", line(part)) for part in markdown.split("\n\n") if part.strip())


def join(parts: object, between: str = "") -> Html:
    """HTML one after another."""
    return Html(between.join(parts))  # type: ignore[arg-type]
