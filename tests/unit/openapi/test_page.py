"""The page for people: complete, whole, and fetching nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from support.gateway import gateway_app

from headrace.http.service import OPERATIONS
from headrace.openapi.document import openapi
from headrace.openapi.page.layout import CONTENT_SECURITY_POLICY, STYLE, page
from headrace.openapi.page.markup import line, prose

VOID = {"meta", "input", "wbr"}


class Reader(HTMLParser):
    """What a page holds; raises where an element is closed that is not open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: set[str] = set()
        self.elements: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        self.elements[tag] += 1
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids[value or ""] += 1
            if name == "href":
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture
async def document() -> Any:
    return openapi((await gateway_app())[OPERATIONS], with_access=True)


@pytest.fixture
def reader(document: Any) -> Reader:
    return Reader(page(document))


async def test_every_route_and_every_type_has_its_place(document: Any, reader: Reader) -> None:
    names = {said["operationId"] for methods in document["paths"].values() for said in methods.values()}
    types = {f"type-{name}" for name in document["components"]["schemas"]}
    assert names | types <= set(reader.ids)
    assert set(reader.ids.values()) == {1}


async def test_every_link_leads_somewhere(reader: Reader) -> None:
    inside = {link.removeprefix("#") for link in reader.links if link.startswith("#")}
    assert inside <= set(reader.ids)
    assert {"/openapi.json", "/asyncapi.json"} <= reader.links


async def test_calls_and_headers_of_problems_are_told(document: Any) -> None:
    html = page(document)
    assert "curl -I &quot;$URL/v1/stream/chat-1&quot;" in html
    assert "curl -X DELETE &quot;$URL/v1/stream/chat-1&quot;" in html
    assert "<code>Producer-Expected-Seq</code>" in html


async def test_nothing_is_fetched_and_nothing_runs(reader: Reader) -> None:
    assert not {"script", "img", "link", "iframe", "object"} & set(reader.elements)
    assert not {name for name in reader.attributes if name == "src" or name.startswith("on")}
    assert not re.search(r"@import|url\(", STYLE)


async def test_a_browser_takes_the_style_under_the_policy_that_comes_with_the_page(document: Any) -> None:
    (style,) = re.findall("<style>(.*)</style>", page(document), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


def test_descriptions_may_hold_code_and_links_and_no_html() -> None:
    assert line("`a<b` & [CEL](https://cel.dev)") == '<code>a&lt;b</code> &amp; <a href="https://cel.dev">CEL</a>'
    assert line("[no](javascript:alert)") == "[no](javascript:alert)"
    assert prose("one\n\ntwo <b>") == "<p>one</p><p>two &lt;b&gt;</p>"
