"""The OpenAPI 3.1 document of a service: its routes' descriptions, with what the rules of access ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from headrace import __version__
from headrace.access.rules import rule_at
from headrace.http.problems import ProblemDetails
from headrace.openapi.operation import Answer, Content, Operation, Parameter
from headrace.openapi.security import SECURITY_SCHEMES, refusals, requirements
from headrace.openapi.shapes import Shapes, Use
from headrace.openapi.tags import Tag

PROBLEM = "application/problem+json"
DESCRIPTION = """\
One Kafka log, every way to deliver it: write events, read them page by page, follow them live, or have them pushed to
signed webhooks. A position, the offset token, is the same in all ways to read.

Errors are problem details (RFC 9457) that say what to do."""
SERVER_ERROR = "An error of ours; it is in the log."
Json = dict[str, Any]


def openapi(operations: tuple[Operation, ...], *, with_access: bool) -> Json:
    """The document. `with_access`: callers need a key or a token, as `headrace.access.rules` says."""
    shapes = Shapes(_used(operations))
    paths: dict[str, Json] = {}
    for operation in sorted(operations, key=lambda one: list(Tag).index(one.tag)):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, shapes, with_access)
    used = {operation.tag for operation in operations}
    components: Json = {"schemas": shapes.components}
    if with_access:
        components["securitySchemes"] = SECURITY_SCHEMES
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "summary": "One Kafka log, every way to deliver it.",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag.title, "description": tag.description} for tag in Tag if tag in used],
        "paths": paths,
        "components": components,
    }


def _used(operations: Iterable[Operation]) -> Iterable[tuple[Any, Use]]:
    yield ProblemDetails, "serialization"
    for operation in operations:
        for content in operation.body.values():
            yield content.shape, "validation"
        for answer in operation.answers.values():
            for content in answer.content.values():
                yield content.shape, "serialization"


def _operation(operation: Operation, shapes: Shapes, with_access: bool) -> Json:
    rule = rule_at(operation.method, operation.path)
    assert rule is not None, "headrace/access/rules.py says who may call what"
    said: Json = {"operationId": operation.name, "tags": [operation.tag.title], "summary": operation.summary}
    if operation.description:
        said["description"] = operation.description
    if operation.parameters:
        said["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        said["requestBody"] = {
            "required": operation.body_is_required,
            "content": _content(operation.body, shapes, "validation"),
        }
    problems = {**operation.problems, 500: SERVER_ERROR}
    if with_access:
        said["security"] = requirements(rule)
        for status, when in refusals(rule).items():
            problems[status] = f"{when} {problems[status]}" if status in problems else when
    answers = {status: _answer(answer, shapes) for status, answer in operation.answers.items()}
    headers = operation.problem_headers
    answers |= {status: _problem(status, when, headers.get(status, {}), shapes) for status, when in problems.items()}
    said["responses"] = {str(status): answers[status] for status in sorted(answers)}
    return said


def _parameter(parameter: Parameter) -> Json:
    said: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.place == "path" or parameter.required:
        said["required"] = True
    if parameter.example is not None:
        said["example"] = parameter.example
    return said


def _content(content: Mapping[str, Content], shapes: Shapes, use: Use) -> Json:
    said: Json = {}
    for media_type, one in content.items():
        said[media_type] = {"schema": shapes.of(one.shape, use)}
        if one.examples:
            said[media_type]["examples"] = {name: {"value": value} for name, value in one.examples.items()}
    return said


def _answer(answer: Answer, shapes: Shapes) -> Json:
    said: Json = {"description": answer.description}
    if answer.headers:
        said["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.content:
        said["content"] = _content(answer.content, shapes, "serialization")
    return said


def _problem(status: int, when: str, headers: Mapping[str, str], shapes: Shapes) -> Json:
    said = _answer(Answer(when, {PROBLEM: Content(ProblemDetails)}, headers), shapes)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        retry_after = {"description": "When to ask again, in seconds.", "schema": {"type": "integer"}}
        said["headers"] = {**said.get("headers", {}), "Retry-After": retry_after}
    return said
