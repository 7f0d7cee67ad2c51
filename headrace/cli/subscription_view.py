"""Subscriptions as they are printed: for people on a terminal, else as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.cli.printable import printable
from headrace.client import Subscription


def print_all(subscriptions: Sequence[Subscription], json: bool, *, narrowed: bool = False) -> None:
    """A table, or one subscription in each line; `narrowed` where there may be more than were asked for."""
    if json or not sys.stdout.isatty():
        _print_lines(subscriptions)
        return
    if not subscriptions:
        nothing = (
            "No subscription is like that." if narrowed else "No subscriptions yet: `headrace subscribe FEED URL`."
        )
        print(nothing)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "feed", "state", "ordering", "url", "labels", "created"):
        table.add_column(column, overflow="fold")
    for one in subscriptions:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
        shown = (one.id, one.feed, one.state, one.ordering, one.url or one.mode, labels, one.created)
        table.add_row(*(Text(printable(text)) for text in shown))
    Console().print(table)


def print_one(subscription: Subscription, json: bool) -> None:
    """All that is known of one; its status where it was asked for."""
    if json or not sys.stdout.isatty():
        _print_lines([subscription])
        return
    members = {name: value for name, value in _members(subscription).items() if name != "status"}
    if subscription.status is not None:
        members |= subscription.status.raw
    elif "status" in subscription.raw and subscription.waits_for is None:
        members["owner"] = "none: start a relay"
    lines = list(_flat(members))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        # Plainly printed: secrets and tokens must not be wrapped.
        print(f"{name:<{width}}  {text}")


def _members(subscription: Subscription) -> dict[str, Any]:
    etag = {} if subscription.etag is None else {"etag": subscription.etag}
    return {**subscription.raw, **etag}


def _flat(members: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """A name and a text for each, with members of members as `batch.max_events`."""
    for name, value in members.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{within}{name}.")
        elif value in (None, "", [], {}):
            yield within + name, "-"
        elif isinstance(value, list):
            yield within + name, printable(", ".join(map(str, value)))
        else:
            yield within + name, printable(str(value))


def _print_lines(subscriptions: Sequence[Subscription]) -> None:
    for subscription in subscriptions:
        print(orjson.dumps(_members(subscription)).decode())
