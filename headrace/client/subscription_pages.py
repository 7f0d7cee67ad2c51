"""Paging through what a subscription was not delivered: its position moves by what is acknowledged alone."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import orjson

from headrace.client.exchange import ANSWER_S, Exchange, Request
from headrace.client.page import Page
from headrace.client.problems import HeadraceError, SubscriptionNotFound

WAIT_S = 20.0
"""How long one call waits for an event, at most as long as a gateway lets it."""
PAGE_EVENTS = 1000


async def pull_page(
    exchange: Exchange, path: str, *, limit: int | None = None, wait_s: float = 0.0, patience_s: float | None = None
) -> Page:
    """A page from the position on; `path` is the subscription's. Waits so long for the first event."""
    params = {} if limit is None else {"limit": str(limit)}
    if wait_s:
        params["wait"] = f"{wait_s:g}"
    request = Request(
        "GET", f"{path}/events", params=params, silence_s=wait_s + ANSWER_S, not_found=SubscriptionNotFound
    )
    answer = await exchange.ask(request, patience_s=patience_s)
    next_offset = answer.headers.get("Stream-Next-Offset")
    if next_offset is None:
        raise HeadraceError(f"The answer is not a page of events. Is {exchange.url} the address of a Headrace gateway?")
    return Page.of_array(answer.body or b"[]", next_offset, answer.headers.get("Stream-Up-To-Date") == "true")


async def acknowledge(exchange: Exchange, path: str, offset: str, *, patience_s: float | None = None) -> None:
    """Take all before an offset for done."""
    request = Request(
        "POST",
        f"{path}/ack",
        headers={"Content-Type": "application/json"},
        body=orjson.dumps({"offset": offset}),
        not_found=SubscriptionNotFound,
    )
    await exchange.ask(request, patience_s=patience_s)


async def read_on(
    exchange: Exchange,
    path: str,
    *,
    follow: bool,
    page_events: int | None,
    max_events: int | None,
    patience_s: float | None,
) -> AsyncIterator[Page]:
    """Pages in order, to the last or with `follow` on and on; each is acknowledged when the next is asked for."""
    if patience_s is None and follow:
        patience_s = math.inf
    left = math.inf if max_events is None else max_events
    while left > 0:
        limit = int(min(left, page_events or PAGE_EVENTS))
        page = await pull_page(exchange, path, limit=limit, wait_s=WAIT_S if follow else 0.0, patience_s=patience_s)
        if len(page):
            yield page
            await acknowledge(exchange, path, page.next_offset, patience_s=patience_s)
            left -= len(page)
        elif not follow:
            return
