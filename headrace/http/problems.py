"""Errors as RFC 9457 problem details, made in this one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, NotRequired

import orjson
import structlog
from aiohttp import web
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from headrace import metrics
from headrace.kafka.bridge import QueueFull
from headrace.kafka.offsets import KafkaUnavailable
from headrace.schemas.ids import RegistryUnavailable

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ProblemFault(TypedDict):
    """One thing that is wrong with a request."""

    index: NotRequired[Annotated[int, Field(description="Of the event, where there are several.")]]
    pointer: Annotated[str, Field(description="The JSON Pointer (RFC 6901) to it.")]
    detail: NotRequired[str]


@with_config(ConfigDict(extra="allow"))
class ProblemDetails(TypedDict):
    """What went wrong and what to do (RFC 9457)."""

    type: NotRequired[Annotated[str, Field(description="Without it, `title` is the phrase of the status.")]]
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong here, and what to do about it.")]
    parameter: NotRequired[Annotated[str, Field(description="The parameter that is not as it should be.")]]
    errors: NotRequired[list[ProblemFault]]
    earliest_offset: NotRequired[Annotated[str, Field(description="Of a 410: from where on events are kept.")]]
    missing_scopes: NotRequired[Annotated[list[str], Field(description="Of a 403: what the credential lacks.")]]


class Problem(Exception):
    """An answer that tells what went wrong and what to do. `extensions` become further members of the body."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.extensions = extensions

    def body(self) -> dict[str, Any]:
        """The problem's members; `type` is about:blank, so `title` is the status's own phrase."""
        # Headers are quoted in it, and those may hold any bytes; aiohttp gives them as lone surrogates.
        detail = self.detail.encode("utf-8", "replace").decode()
        return {"title": self.status.phrase, "status": int(self.status), "detail": detail, **self.extensions}

    def response(self) -> web.Response:
        """The answer."""
        return web.Response(
            status=self.status,
            body=orjson.dumps(self.body()),
            content_type="application/problem+json",
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **self.headers},
        )


def unavailable(detail: str, retry_after_s: int = 1) -> Problem:
    """503: nothing is wrong with the request; ask again."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(retry_after_s)})


def stopping() -> Problem:
    """503 to one who comes for a long connection while the process ends."""
    return unavailable("This process is being stopped: connect again.")


def problem_of(error: Exception, **place: str) -> Problem:
    """What a client is told of an error; one that was not foreseen is logged with its place, and counted."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, QueueFull):
        return unavailable(f"Too much is waiting for Kafka: {error}. Nothing was written.")
    if isinstance(error, KafkaUnavailable):
        return unavailable(f"Kafka does not answer: {error}", retry_after_s=2)
    if isinstance(error, RegistryUnavailable):
        return unavailable(f"The schema registry does not answer: {error}", retry_after_s=2)
    log.error("request_failed", exc_info=error, **place)
    metrics.errors.labels("http").inc()
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An error of ours; it is in the log.")


@web.middleware
async def problem_details(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into problem details, and count every answer."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {k: v for k, v in error.headers.items() if k in ("Allow", "Location")}
        response = Problem(HTTPStatus(error.status), error.text or error.reason, headers=headers).response()
    except ConnectionError:
        raise
    except Exception as error:
        response = problem_of(error, route=route_of(request), method=request.method).response()
    metrics.http_requests.labels(route_of(request), request.method, str(response.status)).inc()
    return response


def route_of(request: web.Request) -> str:
    """The route's pattern: a label that does not grow with the names in URLs."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"
