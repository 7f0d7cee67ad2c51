"""What an answer means for its event, its endpoint and the requests in flight: one table, as data.

`python -m headrace.consumers.relay.outcome > docs/outcomes.md` makes the page of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from headrace.consumers.relay.retries import FULL, Schedule

Action = Literal["done", "retry", "retry_short", "disable", "dead_letter"]
Health = Literal["well", "refused", "failing"]

MAX_PAUSE_S = 86_400.0

DELIVERY = "webhook-delivery"
"""The delivery-control header that Svix proposes for Standard Webhooks (their pull request #291)."""

RETRY_AFTER = "retry-after"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an attempt.

    `action` is about the event; `disable` ends all delivery, and where the event was not `delivered` the position
    stays at it. `health` is what the answer says of the endpoint: `well`, `failing`, or `refused`: it works, and does
    not want this event. `slow_down`: it had too much to do, or was out of reach. The endpoint is paused for `pause_s`.
    """

    action: Action
    health: Health
    delivered: bool = False
    slow_down: bool = False
    pause_s: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `statuses` has None for no answer. `pauses`: Retry-After is obeyed."""

    answer: str
    statuses: Iterable[int | None]
    verdict: Verdict
    why: str
    pauses: bool = False


_RETRY = Verdict("retry", "failing")
_SLOWER = Verdict("retry", "failing", slow_down=True)

TABLE = (
    Row("2xx", range(200, 300), Verdict("done", "well", delivered=True), "delivered"),
    Row("3xx", range(300, 400), _RETRY, "never followed: the subscription's URL must be changed"),
    Row("410", (410,), Verdict("disable", "failing"), "the receiver wants no more of it"),
    Row("408", (408,), _SLOWER, "the receiver took too long to read"),
    Row("425", (425,), _RETRY, "too early"),
    Row("429", (429,), _SLOWER, "too many requests", pauses=True),
    Row(
        "400, 409, 413, 415, 422",
        (400, 409, 413, 415, 422),
        Verdict("retry_short", "refused"),
        "about this one event: nothing is held against the endpoint",
    ),
    Row(
        "other 4xx",
        range(400, 500),
        Verdict("retry_short", "failing"),
        "credentials or URL are wrong (401, 403, 404, ...), as for any other event",
    ),
    Row("503", (503,), _SLOWER, "unavailable", pauses=True),
    Row("other 5xx", range(500, 600), _SLOWER, "the receiver failed"),
    Row("none", (None,), _SLOWER, "name not found, refused, reset, TLS, time-out, not HTTP"),
)
"""The first row that holds a status counts."""

ANY_OTHER = Row("any other status", (), _RETRY, "not one of HTTP's")

_BY_STATUS: dict[int | None, Row] = {status: row for row in reversed(TABLE) for status in row.statuses}


def verdict(status: int | None, headers: Mapping[str, str], clock: Callable[[], float] = time.time) -> Verdict:
    """What follows from an answer, or from None. Names of headers are in lower case; `clock` gives seconds since 1970.

    The header `webhook-delivery` counts before the status, with one exception: after a 2xx the event is done, so
    `abort-message` says nothing, and `disable` ends what would come after it.
    """
    row = _BY_STATUS.get(status, ANY_OTHER)
    found = row.verdict
    if (control := headers.get(DELIVERY)) is not None:
        found = _controlled(found, control)
    if row.pauses and (value := headers.get(RETRY_AFTER)) is not None:
        found = replace(found, pause_s=retry_after_s(value, clock()))
    return found


def _controlled(found: Verdict, control: str) -> Verdict:
    asked = {token.strip().lower() for token in control.split(",")}
    if "disable" in asked:
        return replace(found, action="disable")
    if "abort-message" in asked and not found.delivered:
        return replace(found, action="dead_letter", health="refused")
    return found


def retry_after_s(value: str, now_s: float) -> float | None:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3), from 0 to 24 h; None where it is not one."""
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return MAX_PAUSE_S if len(value) > 9 else min(float(value), MAX_PAUSE_S)
    try:
        date = parsedate_to_datetime(value)
        until_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(until_s - now_s, 0.0), MAX_PAUSE_S)


def page() -> str:
    """The table as Markdown: what `docs/outcomes.md` holds."""
    actions: dict[Action, str] = {
        "done": "done",
        "retry": "tried again, full schedule",
        "retry_short": "tried again, shorter schedule",
        "disable": "kept; the subscription is disabled",
        "dead_letter": "dead letter",
    }
    healths: dict[Health, str] = {"well": "works", "refused": "does not count", "failing": "a failure"}
    lines = [
        "# What an answer means",
        "",
        "What becomes of an event, and of the endpoint, by the answer to an attempt. This page is made by",
        "`python -m headrace.consumers.relay.outcome`.",
        "",
        "| answer | the event | for the breaker | requests in flight | |",
        "|---|---|---|---|---|",
        f"| any, with `{DELIVERY}: disable` | done after a 2xx, else kept; the subscription is disabled "
        "| as by its status | as by its status | the receiver says so |",
        f"| any but 2xx, with `{DELIVERY}: abort-message` | dead letter "
        "| does not count | as by its status | the receiver says so |",
    ]
    for row in (*TABLE, ANY_OTHER):
        in_flight = "halved" if row.verdict.slow_down else "one more" if row.verdict.delivered else "as before"
        why = f"{row.why}; Retry-After pauses the endpoint" if row.pauses else row.why
        action, health = actions[row.verdict.action], healths[row.verdict.health]
        lines.append(f"| {row.answer} | {action} | {health} | {in_flight} | {why} |")
    lines += [
        "",
        f"The full schedule makes {FULL.attempts} attempts, and waits between them, ±20 %:",
        f"{_waits(FULL)}. The shorter one is its beginning:",
        f"{FULL.short.attempts} attempts, with {_waits(FULL.short)} between them. A subscription may have a",
        "schedule of its own. After the last attempt the event becomes a dead letter.",
        "",
        f"The header `{DELIVERY}` counts before the status, except that after a 2xx there is nothing to abort.",
        "Retry-After, seconds or a date, is obeyed on 429 and 503, up to 24 h, for the whole endpoint: nothing is sent",
        "to it meanwhile. What is not a valid value is ignored.",
        "",
        "Failures in a row, or failures of half of the attempts, open the breaker: the position then waits for the",
        "endpoint, and no event uses up its attempts. An event that is refused (400, 409, 413, 415, 422) does not",
        "count, so that bad events never stop good ones: a receiver that cannot verify a signature should answer 401,",
        "not 400. Five days with failures or refusals and without one success disable the subscription.",
        "",
        "A connection that was kept and is closed before the first byte of an answer was given up by the receiver,",
        "most likely before it saw the request: it is sent once more on a new connection, within the same attempt and",
        "its deadline. An event of which no request can be made, such as one with a header that HTTP does not allow,",
        "becomes a dead letter after the shorter schedule.",
    ]
    return "\n".join(lines) + "\n"


def _waits(schedule: Schedule) -> str:
    units = ((3600, "h"), (60, "min"), (1, "s"))
    found = [next(f"{w / size:g} {unit}" for size, unit in units if w >= size) for w in schedule.waits_s]
    return ", ".join(found)


if __name__ == "__main__":
    print(page(), end="")
