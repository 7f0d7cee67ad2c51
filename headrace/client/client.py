"""The client of a gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Unpack

from headrace.client import feed as feeds
from headrace.client import publishing, reading
from headrace.client.checkpoint import CheckpointStore
from headrace.client.event import Event
from headrace.client.exchange import Exchange
from headrace.client.feed import Feed
from headrace.client.page import Page
from headrace.client.publishing import Written
from headrace.client.reader import Reader, following
from headrace.client.reading import Start
from headrace.client.subscriptions import Subscriptions
from headrace.client.wanted import Slow, Transport, Wanted
from headrace.client.work import PullSubscription

DEFAULT_URL = "http://127.0.0.1:8080"


class Client:
    """Reads, writes and subscribes to the feeds of a gateway. An async context manager.

        async with Client("http://127.0.0.1:8080") as client:
            async for event in client.follow("flights.enriched", from_="now"): ...

    While the gateway is away every call asks again, for `patience_s` seconds, before it raises `Unavailable`; what
    must not be done twice is asked again only where nothing was sent. `key` is an API key or a JWT, where the gateway
    asks for one. All errors are `HeadraceError`.
    """

    def __init__(self, url: str = DEFAULT_URL, *, key: str | None = None, patience_s: float = 30.0) -> None:
        self._exchange = Exchange(url, patience_s, key)
        self.subscriptions = Subscriptions(self._exchange)

    @property
    def url(self) -> str:
        """The address of the gateway."""
        return self._exchange.url

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    def subscription(self, subscription_id: str) -> PullSubscription:
        """A pull subscription, to lease and deal with its events."""
        return PullSubscription(self._exchange, subscription_id)

    async def feeds(self) -> list[Feed]:
        """All feeds, dead letters included."""
        return await feeds.list_feeds(self._exchange)

    async def feed(self, name: str) -> Feed:
        """One feed, with its partitions and offsets; raises `FeedNotFound`."""
        return await feeds.get_feed(self._exchange, name)

    async def pull(
        self,
        feed: str,
        *,
        offset: str | None = None,
        from_time: datetime | None = None,
        limit: int | None = None,
        **wanted: Unpack[Wanted],
    ) -> Page:
        """One page from an offset (`-1`, the beginning, where None) or from the first events of a time.

        A page that is not `up_to_date` leads on, also where it has no events: few of those that were looked at may be
        wanted. Raises `FeedNotFound`, `OffsetGone`, `BadRequest`, `Unavailable`.
        """
        return await reading.pull(self._exchange, feed, Start(offset, from_time), wanted, limit=limit)

    def read(
        self,
        feed: str,
        *,
        offset: str | None = None,
        from_time: datetime | None = None,
        follow: bool = False,
        transport: Transport = "long-poll",
        slow: Slow | None = None,
        page_events: int | None = None,
        max_events: int | None = None,
        patience_s: float | None = None,
        **wanted: Unpack[Wanted],
    ) -> AsyncGenerator[Page, None]:
        """Page after page up to the tail; with `follow` on and on, each page as soon as it has an event.

        Goes on by itself after a dropped connection or a restart of the gateway, with nothing skipped or repeated.
        To go on in another process keep `next_offset` of the last page that was dealt with (see `follow`).
        Once it has all there is, it follows by `transport`; pages of server-sent events are as the gateway sends them,
        and only they may be `slow`. `page_events` bounds a page, `max_events` all of them together, by long polls only.
        `patience_s` is how long the gateway may be away, without end by default where following. Raises what `pull`
        does.
        """
        reader = Reader(self._exchange, feed, wanted, follow, transport, slow, page_events, max_events, patience_s)
        return reader.pages(Start(offset, from_time))

    def follow(
        self,
        feed: str,
        *,
        from_: str | datetime = "-1",
        checkpoint: CheckpointStore | None = None,
        transport: Transport = "long-poll",
        slow: Slow | None = None,
        page_events: int | None = None,
        patience_s: float | None = None,
        **wanted: Unpack[Wanted],
    ) -> AsyncGenerator[Event, None]:
        """Event after event, without end, each as soon as it is there; all else is as in `read`.

        It begins at `from_`, an offset or a time; where the `checkpoint` has an offset, there. The checkpoint is saved
        when an event was asked for after the last one of a page: whoever ends before that gets the page's events again.
        """
        start = Start(None, from_) if isinstance(from_, datetime) else Start(from_)
        reader = Reader(self._exchange, feed, wanted, True, transport, slow, page_events, None, patience_s)
        return following(reader, start, checkpoint)

    async def publish(self, feed: str, events: Iterable[Any], *, idempotency_key: str | None = None) -> list[Written]:
        """Write events and return where each lies, in their order, once every one is acknowledged by Kafka.

        `events` are either all `NewEvent` or `Event`, with ids of their own, or all plain data (what JSON can hold, or
        bytes), whose ids are made of `idempotency_key`. An attempt that failed is repeated with the same ids, so
        that readers can tell the repeats. Raises `EventsRejected` where some or all were not written, `FeedNotFound`,
        `BadRequest`, `TooLarge`, `Unavailable`.
        """
        return await publishing.publish(self._exchange, feed, list(events), idempotency_key)
