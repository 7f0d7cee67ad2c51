"""Pages of the list of subscriptions: filtered, oldest first, from a cursor on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, get_args

from headrace.consumers.relay.definition import Mode, State, Subscription
from headrace.http.problems import Problem

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
WORDS: Mapping[str, tuple[str, ...]] = {"state": get_args(State), "mode": get_args(Mode)}
FIELDS = ("feed", *WORDS)


def page(subscriptions: Iterable[Subscription], query: Mapping[str, str]) -> dict[str, Any]:
    """A page: `subscriptions`, and `next_cursor` where there are more.

    `query` may hold `limit`, `cursor`, and what must be equal: `feed`, `state`, `mode`, `label.<name>`. Raises
    `Problem` 400 for anything else.
    """
    limit, after = DEFAULT_LIMIT, ("", "")
    wanted: dict[str, str] = {}
    labels: dict[str, str] = {}
    for name, value in query.items():
        if name == "limit":
            limit = _limit(value)
        elif name == "cursor":
            after = _after(value)
        elif name.startswith("label."):
            labels[name.removeprefix("label.")] = value
        elif name in FIELDS:
            if value not in WORDS.get(name, (value,)):
                raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: is {' or '.join(WORDS[name])}.")
            wanted[name] = value
        else:
            known = ", ".join(("limit", "cursor", *FIELDS, "label.<name>"))
            raise Problem(HTTPStatus.BAD_REQUEST, f"{name} is not known here; there are {known}.")
    found = sorted(
        (
            s
            for s in subscriptions
            if (s.created, s.id) > after
            and all(getattr(s, name) == value for name, value in wanted.items())
            and all(s.options.labels.get(name) == value for name, value in labels.items())
        ),
        key=lambda s: (s.created, s.id),
    )
    told: dict[str, Any] = {"subscriptions": [s.public() for s in found[:limit]]}
    if len(found) > limit:
        told["next_cursor"] = _cursor(found[limit - 1])
    return told


def _cursor(last: Subscription) -> str:
    return base64.urlsafe_b64encode(f"{last.created}\0{last.id}".encode()).decode()


def _after(cursor: str) -> tuple[str, str]:
    try:
        created, name = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().split("\0")
    except (ValueError, binascii.Error):
        raise Problem(HTTPStatus.BAD_REQUEST, "cursor: not the next_cursor of a page before.") from None
    return created, name


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise Problem(HTTPStatus.BAD_REQUEST, f"limit: a number from 1 to {MAX_LIMIT}.")
    return int(text)
