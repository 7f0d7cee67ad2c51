"""Subscriptions as they are printed: for people on a terminal, else as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from headrace.client import Subscription


def print_all(subscriptions: Sequence[Subscription], json: bool) -> None:
    """A table, or one subscription in each line."""
    if json or not sys.stdout.isatty():
        _print_lines(subscriptions)
        return
    if not subscriptions:
        print("No subscriptions yet: `headrace subscribe FEED URL` creates one.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "feed", "state", "ordering", "url", "created"):
        table.add_column(column, overflow="fold")
    for one in subscriptions:
        table.add_row(one.id, one.feed, one.state, one.ordering, one.url, one.created)
    Console().print(table)


def print_one(subscription: Subscription, json: bool) -> None:
    """All that is known of one; its status where it was asked for."""
    if json or not sys.stdout.isatty():
        _print_lines([subscription])
        return
    members = {name: value for name, value in subscription.raw.items() if name != "status"}
    if subscription.status is not None:
        members |= subscription.status.raw
    elif "status" in subscription.raw:
        members["owner"] = "none: start a relay"
    width = max(map(len, members))
    for name, value in members.items():
        # Plainly printed: secrets and tokens must not be wrapped.
        print(f"{name:<{width}}  {'-' if value in (None, '') else value}")


def _print_lines(subscriptions: Sequence[Subscription]) -> None:
    for subscription in subscriptions:
        print(orjson.dumps(subscription.raw).decode())
