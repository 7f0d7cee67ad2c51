"""The page as a whole: what it begins with, its chapters, the types, and the way about it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.openapi.page.markup import Html, code, element, link, prose, text
from headrace.openapi.page.operation import operation
from headrace.openapi.page.schema import anchor, kind, members

Json = Mapping[str, Any]
STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
"""The page's own style, and nothing else: a browser would refuse to fetch anything."""


def page(document: Json) -> str:
    """The page of an OpenAPI document as `headrace.openapi.document` makes it."""
    info = document["info"]
    head = element(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", text(f"{info['title']} API")),
        element("style", Html(STYLE)),
    )
    chapters = [_chapter(tag, document) for tag in document["tags"]]
    main = element("main", _beginning(info, document), *chapters, _types(document["components"]["schemas"]))
    # Without a script: the box, where there is no room for both, shows the contents and hides them.
    box = Html('<input type="checkbox" id="contents">')
    way = element("nav", box, element("label", text("Contents"), for_="contents"), _contents(document))
    body = element("body", link("#top", text("To the text"), class_="skip"), way, main)
    return f"<!doctype html>{element('html', head, body, lang='en')}\n"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            if tag in said["tags"]:
                yield method.upper(), path, said


def _beginning(info: Json, document: Json) -> Html:
    schemes = document["components"].get("securitySchemes", {})
    access = [
        element("h2", text("Access"), id="keys"),
        element("dl", *(_scheme(scheme) for scheme in schemes.values()), class_="answers"),
    ]
    return element(
        "header",
        element("h1", text(info["title"]), element("small", text(f"API {info['version']}"))),
        prose(info["description"]),
        element(
            "p",
            link("/openapi.json", text("OpenAPI 3.1")),
            text(" "),
            link("/asyncapi.json", text("AsyncAPI 3.0, the feeds")),
            class_="documents",
        ),
        prose("The calls below are for a shell in which `URL` is the address of this service:"),
        element("pre", element("code", text(_shell(bool(schemes))))),
        *(access if schemes else ()),
        id="top",
    )


def _shell(with_access: bool) -> str:
    key = '\ncurl() { command curl -H "Authorization: Bearer $HEADRACE_API_KEY" "$@"; }' if with_access else ""
    return f"URL=http://127.0.0.1:8080{key}"


def _scheme(scheme: Json) -> Html:
    name = scheme.get("name", "Authorization: Bearer")
    return element("div", element("dt", code(name)), element("dd", prose(scheme["description"])))


def _chapter(tag: Json, document: Json) -> Html:
    schemas = document["components"]["schemas"]
    routes = [operation(*route, schemas) for route in _operations(document, tag["name"])]
    return element(
        "section", element("h2", text(tag["name"])), prose(tag["description"]), *routes, id=_id(tag), class_="chapter"
    )


def _types(schemas: Json) -> Html:
    made = []
    for name, schema in schemas.items():
        said = members(schema) if "properties" in schema else element("p", kind(schema), class_="kind")
        described = prose(schema.get("description", ""))
        made.append(element("section", element("h3", code(name)), described, said, id=anchor(name), class_="type"))
    return element("section", element("h2", text("Types")), *made, id="types", class_="chapter")


def _contents(document: Json) -> Html:
    chapters = []
    for tag in document["tags"]:
        routes = [
            element("li", link(f"#{said['operationId']}", element("b", text(method)), text(" "), text(said["summary"])))
            for method, _, said in _operations(document, tag["name"])
        ]
        chapters.append(element("li", link(f"#{_id(tag)}", text(tag["name"])), element("ul", *routes)))
    chapters.append(element("li", link("#types", text("Types"))))
    return element("ul", *chapters)


def _id(tag: Json) -> str:
    return f"chapter-{tag['name'].lower().replace(' ', '-')}"
