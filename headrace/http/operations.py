"""The routes that every service has, for their callers."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST
from typing_extensions import TypedDict

from headrace.openapi.operation import TEXT, Answer, Content, Operation, answer
from headrace.openapi.tags import Tag


class Alive(TypedDict):
    """The process answers."""

    alive: Literal[True]


class Readiness(TypedDict):
    """Whether the service can do its work now."""

    ready: bool
    troubles: list[str]


OPERATIONS = (
    Operation(
        "GET",
        "/healthz",
        "get_health",
        Tag.SERVICE,
        "Ask whether the process is alive",
        answers={200: answer("It is.", Alive)},
    ),
    Operation(
        "GET",
        "/readyz",
        "get_readiness",
        Tag.SERVICE,
        "Ask whether the service is ready",
        answers={
            200: answer("It is.", Readiness),
            503: answer("It is not, and `troubles` say why.", Readiness),
        },
    ),
    Operation(
        "GET",
        "/metrics",
        "get_metrics",
        Tag.SERVICE,
        "Read the metrics",
        description="In the text format of Prometheus.",
        answers={200: Answer("The metrics.", {CONTENT_TYPE_LATEST: Content(TEXT)})},
    ),
)
