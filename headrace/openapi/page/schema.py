"""A JSON Schema in words: what a value is, and the members of an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.openapi.page.markup import Html, code, element, join, line, link, text

Json = Mapping[str, Any]
PREFIX = "#/components/schemas/"
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}


def anchor(component: str) -> str:
    """Where on the page a component stands."""
    return f"type-{component}"


def kind(schema: Json) -> Html:
    """What a value is, in a few words."""
    if reference := schema.get("$ref"):
        name = str(reference).removeprefix(PREFIX)
        return link(f"#{anchor(name)}", text(name))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return join((kind(option) for option in schema[union]), " or ")
    if "enum" in schema:
        return join((code(str(value)) for value in schema["enum"]), " or ")
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    form = schema.get("type")
    if form == "array":
        return join([text("array of "), kind(schema.get("items", {})), text(_count(schema, "Items"))])
    if form == "object" and "properties" not in schema:
        within: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
        return join([text("object of "), kind(within)]) if isinstance(within, Mapping) and within else text("object")
    return text(f"{_word(schema, form)}{_bounds(schema)}")


def _word(schema: Json, form: Any) -> str:
    if schema.get("format") == "date-time":
        return "time, RFC 3339"
    return WORDS.get(str(form), "object" if form == "object" else "any JSON")


def _bounds(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if least is not None and most is not None:
        return f", {_number(least)} to {_number(most)}"
    if above is not None:
        return f", above {_number(above)}" + ("" if most is None else f", to {_number(most)}")
    if least is not None:
        return f", {_number(least)} or more"
    if "maxLength" in schema:
        return f" of at most {_number(schema['maxLength'])} characters"
    return ""


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _count(schema: Json, what: str) -> str:
    most = schema.get(f"max{what}")
    return "" if most is None else f", at most {most:,}"


def default(schema: Json) -> Html:
    """What holds where nothing is given."""
    value = schema.get("default")
    if value in (None, "", [], {}):
        return Html("")
    said = value if isinstance(value, str) else json.dumps(value).removesuffix(".0")
    return join([text("; "), code(said), text(" by default")])


def members(schema: Json) -> Html:
    """The members of an object, as a table: first those that must be there."""
    required = schema.get("required", ())
    rows = [
        (name, kind(of if name in required else _given(of)), default(of), name in required, of.get("description", ""))
        for name, of in schema["properties"].items()
    ]
    return table(sorted(rows, key=lambda row: not row[3]))


def _given(schema: Json) -> Json:
    """A member where it is given: that it may be null as well as left out says nothing."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return {**schema, "anyOf": options} if options else schema


def table(rows: Any) -> Html:
    """Names with what they stand for."""
    made = []
    for name, what, otherwise, required, description in rows:
        mark = element("span", text("required"), class_="required") if required else Html("")
        kind_of = element("span", join([what, otherwise]), class_="kind")
        said = element("p", line(description)) if description else Html("")
        made.append(element("div", element("dt", code(name), mark), element("dd", kind_of, said)))
    return element("dl", *made, class_="members")
