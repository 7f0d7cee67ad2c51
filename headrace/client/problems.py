"""What a call of the client raises: RFC 9457 problem details as typed errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson


class HeadraceError(Exception):
    """A call failed; the text says why and what to do. `problem` holds all members of the answer's problem details."""

    def __init__(self, detail: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = dict(problem or {})


class BadRequest(HeadraceError):
    """The request does not fit (400, 405, 406, 415). `errors` name the places where there are several."""

    @property
    def errors(self) -> list[dict[str, Any]]:
        """`pointer` and `detail` of each fault, and the `index` of the event that has it."""
        found = self.problem.get("errors")
        return [dict(error) for error in found] if isinstance(found, list) else []


class AccessDenied(HeadraceError):
    """401 or 403: the gateway asks for a key, or for a scope that the key lacks."""


class NotFound(HeadraceError):
    """404: there is no such thing."""


class FeedNotFound(NotFound):
    """404: no feed has this name, or nothing was ever written to it."""


class SubscriptionNotFound(NotFound):
    """404: no subscription has this id."""


class Conflict(HeadraceError):
    """409: another has this name already, or the state of what it is about does not let it."""


class PreconditionFailed(HeadraceError):
    """412: somebody has changed it since it was read. Read it again, and decide again."""


class OffsetGone(HeadraceError):
    """410: events after the offset are no longer kept. Go on from `earliest_offset`, and know that some are lost."""

    @property
    def earliest_offset(self) -> str:
        """The offset of the oldest events that are still to be had; `-1` where the answer does not say."""
        return str(self.problem.get("earliest_offset", "-1"))


class TooLarge(HeadraceError):
    """413: send fewer or smaller events."""


class ServerError(HeadraceError):
    """500 and its like: a fault of the gateway, which has it in its log."""


class Unavailable(HeadraceError):
    """No answer, 429, 502, 503 or 504: nothing is wrong with the request; the same may be asked again."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(detail, status=status, problem=problem)
        self.retry_after_s = retry_after_s


class Unreachable(Unavailable):
    """No connection to the gateway: nothing was sent."""


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, not_found: type[NotFound] = NotFound
) -> HeadraceError:
    """The error that an answer of status 400 or more stands for; `not_found` says of what a 404 speaks."""
    problem = _problem(headers, body)
    detail = str(problem.get("detail") or problem.get("title") or f"The answer was {status} without a reason.")
    if not problem:
        detail += " Is this the address of a Headrace gateway?"
    match status:
        case 429 | 502 | 503 | 504:
            wait_s = retry_after_s(headers.get("Retry-After"))
            return Unavailable(detail, status=status, problem=problem, retry_after_s=wait_s)
        case 401 | 403:
            return AccessDenied(detail, status=status, problem=problem)
        case 404:
            return not_found(detail, status=status, problem=problem)
        case 409:
            return Conflict(detail, status=status, problem=problem)
        case 410:
            return OffsetGone(detail, status=status, problem=problem)
        case 412:
            return PreconditionFailed(detail, status=status, problem=problem)
        case 413:
            return TooLarge(detail, status=status, problem=problem)
    kind = ServerError if status >= 500 else BadRequest
    return kind(detail, status=status, problem=problem)


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if "json" not in headers.get("Content-Type", ""):
        return {}
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


def retry_after_s(text: str | None) -> float:
    """The seconds that a Retry-After header asks for (RFC 9110 section 10.2.3); 0 where it says nothing."""
    if text is None:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0
