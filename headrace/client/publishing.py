"""Writing events: sent until every one has its verdict, and with the same ids however often they are sent."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from headrace.client.event import Event, NewEvent
from headrace.client.exchange import Exchange, Request
from headrace.client.feed import feed_path
from headrace.client.patience import backoff_s
from headrace.client.problems import BadRequest, FeedNotFound, HeadraceError, TooLarge, Unavailable

JSON = "application/json"
BYTES = "application/octet-stream"
BATCH = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Written:
    """An event that Kafka has, on all in-sync replicas."""

    id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not written, and why: `errors` have `pointer` and `detail`. 503 says that it may have been."""

    index: int
    id: str | None
    status: int
    errors: Sequence[dict[str, Any]]

    @property
    def detail(self) -> str:
        """The errors in one line."""
        return "; ".join(f"{error.get('pointer') or '/'} {error.get('detail', '')}" for error in self.errors)


Verdict = Written | Rejection


class EventsRejected(HeadraceError):
    """Some or all events were not written. `results` holds the verdict on each, in the order of the call."""

    def __init__(self, results: Sequence[Verdict]) -> None:
        self.results = list(results)
        first = self.rejected[0]
        count = f"{len(self.rejected)} of {len(results)} events were not written"
        super().__init__(f"{count}; the first is number {first.index}: {first.detail}.", status=first.status)

    @property
    def rejected(self) -> list[Rejection]:
        """The events that were not written."""
        return [result for result in self.results if isinstance(result, Rejection)]

    @property
    def written(self) -> list[Written]:
        """The events that were."""
        return [result for result in self.results if isinstance(result, Written)]


@dataclass(frozen=True, slots=True)
class _Post:
    """A request that writes the events of some indexes."""

    indexes: Sequence[int]
    content_type: str
    body: bytes
    key: str | None = None


Posts = Callable[[Sequence[int]], list[_Post]]


async def publish(exchange: Exchange, feed: str, events: Sequence[Any], key: str | None) -> list[Written]:
    """Write the events; see `Client.publish`."""
    posts = _posts(events, key or str(uuid.uuid4()))
    verdicts = await _until_settled(exchange, feed, posts, len(events))
    written = [verdict for verdict in verdicts if isinstance(verdict, Written)]
    if len(written) < len(verdicts):
        raise EventsRejected(verdicts)
    return written


async def _until_settled(exchange: Exchange, feed: str, posts: Posts, count: int) -> list[Verdict]:
    """Send, and send again what Kafka did not acknowledge, until the client's patience is over."""
    deadline = time.monotonic() + exchange.patience_s
    verdicts: dict[int, Verdict] = {}
    pending: Sequence[int] = range(count)
    attempts = 0
    while pending:
        for post in posts(pending):
            try:
                verdicts |= await _send(exchange, feed, post, max(deadline - time.monotonic(), 0.0))
            except Unavailable as error:
                if not any(isinstance(verdict, Written) for verdict in verdicts.values()):
                    raise
                verdicts |= {i: Rejection(i, None, 503, [{"detail": str(error)}]) for i in post.indexes}
        pending = [i for i in pending if isinstance(v := verdicts[i], Rejection) and v.status == 503]
        wait_s = backoff_s(attempts)
        if time.monotonic() + wait_s > deadline:
            break
        if pending:
            await asyncio.sleep(wait_s)
            attempts += 1
    return [verdicts[i] for i in range(count)]


async def _send(exchange: Exchange, feed: str, post: _Post, patience_s: float) -> dict[int, Verdict]:
    headers = {"Content-Type": post.content_type} | ({} if post.key is None else {"Idempotency-Key": post.key})
    request = Request("POST", f"{feed_path(feed)}/events", headers=headers, body=post.body, not_found=FeedNotFound)
    try:
        answer = await exchange.ask(request, patience_s=patience_s)
    except (BadRequest, TooLarge) as error:
        rejected = _rejections(error, post.indexes)
        if not rejected:
            raise
        return rejected
    told = orjson.loads(answer.body)["events"]
    return {index: _verdict(index, one) for index, one in zip(post.indexes, told, strict=True)}


def _verdict(index: int, told: dict[str, Any]) -> Verdict:
    if told.get("status", 200) == HTTPStatus.OK:
        return Written(told["id"], told["partition"], told["offset"])
    return Rejection(index, told.get("id"), told["status"], told.get("errors", []))


def _rejections(error: HeadraceError, indexes: Sequence[int]) -> dict[int, Verdict]:
    """The verdicts in a problem that speaks of each event; empty where it speaks of the request as a whole."""
    faults: dict[int, list[dict[str, Any]]] = {}
    for fault in error.problem.get("errors", []):
        if isinstance(fault.get("index"), int):
            faults.setdefault(indexes[fault["index"]], []).append(fault)
    status = error.status or int(HTTPStatus.BAD_REQUEST)
    return {index: Rejection(index, None, status, found) for index, found in faults.items()}


# The forms that events may be sent in


def _posts(events: Sequence[Any], key: str) -> Posts:
    own = [isinstance(event, Event | NewEvent) for event in events]
    if any(own):
        if not all(own):
            raise TypeError("events are all NewEvent or Event, or all plain data: not both in one call")
        return lambda indexes: [_Post(indexes, BATCH, orjson.dumps([_structured(events[i]) for i in indexes]))]

    def single(index: int) -> _Post:
        # As the gateway makes the ids of a request with several events.
        own_key = key if len(events) == 1 else f"{key}/{index}"
        event = events[index]
        if isinstance(event, bytes):
            return _Post([index], BYTES, event, own_key)
        return _Post([index], JSON, orjson.dumps([event]), own_key)

    def plain(indexes: Sequence[int]) -> list[_Post]:
        if len(indexes) < len(events) or any(isinstance(event, bytes) for event in events):
            return [single(index) for index in indexes]
        return [_Post(indexes, JSON, orjson.dumps(list(events)), key)]

    return plain


def _structured(event: Event | NewEvent) -> Any:
    return event.structured() if isinstance(event, NewEvent) else dict(event.raw)
