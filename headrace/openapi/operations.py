"""The routes that describe the others, for their callers."""

from __future__ import annotations

from headrace.openapi.operation import JSON, TEXT, Answer, Content, Operation
from headrace.openapi.tags import Tag

HTML = "text/html"
DOCUMENT = {"type": "object"}

OPERATIONS = (
    Operation(
        "GET",
        "/openapi.json",
        "get_openapi",
        Tag.SERVICE,
        "Read the description of the API",
        description="OpenAPI 3.1, of the service that answers.",
        answers={200: Answer("This document.", {JSON: Content(DOCUMENT)})},
    ),
    Operation(
        "GET",
        "/asyncapi.json",
        "get_asyncapi",
        Tag.SERVICE,
        "Read the description of the feeds",
        description="AsyncAPI 3.0: the feeds that the caller may use, with their topics, messages and Avro schemas.",
        answers={200: Answer("The document.", {JSON: Content(DOCUMENT)})},
    ),
    Operation(
        "GET",
        "/docs",
        "get_docs",
        Tag.SERVICE,
        "Read the description of the API as a page",
        answers={200: Answer("The page.", {HTML: Content(TEXT)})},
    ),
)
