"""One route on the page: what it does, what it takes, what it answers, and a call to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from headrace.openapi.page.markup import Html, code, element, join, line, prose, text
from headrace.openapi.page.schema import PREFIX, default, kind, members, table

Json = Mapping[str, Any]
PLACES = {"path": "In the path", "query": "In the query", "header": "Headers"}


def operation(method: str, path: str, said: Json, schemas: Json) -> Html:
    """The section of a route."""
    parts = [
        element(
            "h3",
            element("span", text(method), class_=f"method {method.lower()}"),
            element("code", _path(path), class_="path"),
            element("a", text("#"), href=f"#{said['operationId']}", class_="anchor", aria_label="Link to this route"),
        ),
        element("p", text(said["summary"]), class_="summary"),
        prose(said.get("description", "")),
        _scope(said),
        *_parameters(said.get("parameters", ())),
        _body(said.get("requestBody"), schemas),
        _call(method, path, said),
        _answers(said["responses"]),
    ]
    return element("section", *parts, id=said["operationId"], class_="operation")


def _path(path: str) -> Html:
    """The path, which may be broken after a slash."""
    return join((text(part) for part in path.split("/")), "/<wbr>")


def _scope(said: Json) -> Html:
    if not said.get("security"):
        return Html("")
    scopes = next(iter(said["security"][0].values()))
    needs = (
        join([text("Needs the scope "), code(scopes[0])]) if scopes else text("Needs a key or a token, of any scope")
    )
    return element("p", needs, text("."), class_="scope")


def _parameters(parameters: Any) -> list[Html]:
    made = []
    for place, title in PLACES.items():
        found = [parameter for parameter in parameters if parameter["in"] == place]
        if found:
            rows = (
                (p["name"], kind(p["schema"]), default(p["schema"]), p.get("required"), p["description"]) for p in found
            )
            made += [element("h4", text(title)), table(rows)]
    return made


def _body(body: Json | None, schemas: Json) -> Html:
    if body is None:
        return Html("")
    types = join((code(media_type) for media_type in body["content"]), ", ")
    title = element("h4", text("Body" if body["required"] else "Body, which may be left out"))
    first = next(iter(body["content"].values()))["schema"]
    named = schemas.get(str(first.get("$ref", "")).removeprefix(PREFIX), first)
    said = members(named) if "properties" in named else Html("")
    return join([title, element("p", types, class_="kind"), said])


def _call(method: str, path: str, said: Json) -> Html:
    """The first example, for curl."""
    query = []
    for parameter in said.get("parameters", ()):
        example = parameter.get("example")
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(str(example), safe=""))
        elif parameter["in"] == "query" and example is not None:
            query.append(f"{parameter['name']}={quote(str(example), safe=':')}")
    url = f'"$URL{path}{"?" + "&".join(query) if query else ""}"'
    # Told to send HEAD as any other method, curl would wait for a body.
    asked = {"GET": "curl", "POST": "curl", "HEAD": "curl -I"}.get(method, f"curl -X {method}")
    lines = [f"{asked} {url}"]
    media_type, body = _example(said.get("requestBody"))
    if body is not None:
        lines += [f"-H 'Content-Type: {media_type}'", f"-d {shlex.quote(body)}"]
    elif method == "POST":
        lines[0] = f"curl -X POST {url}"
    return element("pre", element("code", text(" \\\n     ".join(lines))))


def _example(body: Json | None) -> tuple[str, str | None]:
    for media_type, content in (body or {}).get("content", {}).items():
        for example in content.get("examples", {}).values():
            value = example["value"]
            return media_type, value if isinstance(value, str) else json.dumps(value, indent=2)
    return "", None


def _answers(responses: Json) -> Html:
    made = []
    for status, said in responses.items():
        phrase = HTTPStatus(int(status)).phrase
        forms = [
            join([kind(content["schema"]), text(" as "), code(media_type)])
            for media_type, content in said.get("content", {}).items()
            if media_type != "application/problem+json"
        ]
        details = [element("p", line(said["description"]))]
        if forms:
            details.append(element("p", join(forms, ", "), class_="kind"))
        headers = [
            join([code(name), text(": "), line(of["description"])])
            for name, of in said.get("headers", {}).items()
            if name != "Retry-After"  # which the descriptions tell of
        ]
        if headers:
            details.append(element("ul", *(element("li", header) for header in headers), class_="headers"))
        name = join([element("span", text(status), class_=f"status s{status[0]}"), text(f" {phrase}")])
        made.append(element("div", element("dt", name), element("dd", *details)))
    return join([element("h4", text("Answers")), element("dl", *made, class_="answers")])
