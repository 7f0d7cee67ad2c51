"""The reading API: feeds, their description, and `GET /v1/feeds/{feed}/events` in all its modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from headrace.access.principal import principal_of
from headrace.access.scopes import Action
from headrace.consumers import follower_list, long_poll, pull, stream_head
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import PositionError
from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.consumers.feed_summary import FeedList, summary
from headrace.consumers.operations import events, feeds
from headrace.consumers.read_request import Live, forms_of, parse
from headrace.consumers.refused import refused
from headrace.consumers.sse import ServerSentEvents
from headrace.consumers.stream_keeping import StreamKeeping
from headrace.consumers.stream_logs import StreamLogs
from headrace.consumers.websocket.endpoint import WebSockets
from headrace.consumers.websocket.handshake import wants_websocket
from headrace.consumers.websocket.writes import Writes
from headrace.durable.feeds import Feeds
from headrace.durable.streams import Streams
from headrace.http.problems import Problem
from headrace.kafka.admin import admin_client
from headrace.kafka.offsets import UnknownTopic
from headrace.openapi.operation import Operation
from headrace.openapi.second_url import EVENTS_URL, STREAM_URL
from headrace.schemas.catalogue import Catalogue, Entry
from headrace.schemas.codec import AvroCodec
from headrace.settings import ServeSettings

JSON_HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


class Reading:
    """The part of a service that reads feeds."""

    def __init__(
        self,
        settings: ServeSettings,
        catalogue: Catalogue,
        writes: Writes | None = None,
        streams: Streams | None = None,
    ) -> None:
        """`writes` takes what clients send over WebSocket, in a service that also writes.

        `streams` are those that clients make; without them there are only the feeds of the catalogue.
        """
        self._settings = settings
        self._catalogue = catalogue
        self._streams = streams
        self._feeds: Mapping[str, Entry] = catalogue
        self._stream_logs: StreamLogs | None = None
        self._stream_keeping: StreamKeeping | None = None
        self._tail: Tail | None = None
        self._sse = ServerSentEvents(settings)
        self._websockets = WebSockets(settings, self.log, writes)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The feeds, one feed, its events, also under their second name; who follows them."""
        return [
            web.get("/v1/feeds", self._list),
            web.get("/v1/feeds/{feed}", self._describe),
            *(
                route
                for path in (EVENTS_URL, STREAM_URL)
                for route in (web.get(path, self._events, allow_head=False), web.head(path, self._head))
            ),
            web.get("/v1/followers", self._followers),
        ]

    def operations(self) -> Iterable[Operation]:
        """What is to be said of them."""
        return (*feeds.OPERATIONS, *events.operations(self._settings))

    @property
    def tail(self) -> Tail:
        """The reader core; there from `start()` on."""
        assert self._tail is not None
        return self._tail

    async def start(self) -> None:
        """Connect to Kafka."""
        kafka = self._settings.kafka()
        if self._streams is not None:
            self._feeds = Feeds(self._catalogue, self._streams.table)
        self._tail = Tail(
            kafka,
            admin_client(kafka),
            self._feeds,
            ring_bytes=self._settings.ring_bytes,
            ring_age_s=self._settings.ring_age_s,
            history_consumers=self._settings.history_consumers,
        )
        if self._streams is not None:
            self._stream_logs = StreamLogs(self._tail, self._catalogue, self._streams.table)
            self._stream_keeping = StreamKeeping(self._tail, self._streams)

    def trouble(self) -> str | None:
        """Why reading would not work now."""
        return None if self._tail is not None else "reading has not started"

    async def drain(self) -> None:
        """End long polls and live connections; their clients resume elsewhere."""
        self._sse.drain()
        await self._websockets.drain()
        if self._tail is not None:
            self._tail.wake()

    async def close(self) -> None:
        """Leave Kafka."""
        if self._stream_keeping is not None:
            await self._stream_keeping.close()
        if self._stream_logs is not None:
            await self._stream_logs.close()
        if self._tail is not None:
            await self._tail.close()

    async def _list(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        seen: FeedList = {
            "feeds": [summary(entry) for entry in self._feeds.values() if principal.sees(entry.feed.name)]
        }
        return web.Response(body=orjson.dumps(seen), headers=JSON_HEADERS)

    async def _describe(self, request: web.Request) -> web.Response:
        feed_log = await self.log(request.match_info["feed"])
        await feed_log.refresh()
        beginning, tail = await feed_log.beginning(), feed_log.tail
        body: dict[str, Any] = {
            **summary(feed_log.entry),
            "partitions": len(tail),
            "topic_id": feed_log.topic.topic_id,
            "earliest_offset": feed_log.token(beginning),
            "next_offset": feed_log.token(tail),
            "records": sum(tail) - sum(beginning),
        }
        codec = feed_log.entry.codec
        if isinstance(codec, AvroCodec):
            body["schema"] = codec.schema.definition()
        return web.Response(body=orjson.dumps(body), headers=JSON_HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        feed_log = await self.log(request.match_info["feed"])
        try:
            if wants_websocket(request):
                return await self._websockets.answer(request, feed_log)
            if self._streams is not None and feed_log.entry.feed.is_stream:
                self._streams.touch(feed_log.entry.feed.name)
            read = parse(request, self._settings, forms_of(feed_log.entry))
            if read.live is Live.LONG_POLL:
                return await long_poll.answer(feed_log, read, self._settings.long_poll_s)
            if read.live is Live.SSE:
                return await self._sse.answer(request, feed_log, read)
            return await pull.answer(feed_log, read)
        except PositionError as error:
            raise refused(feed_log, error) from None

    async def _head(self, request: web.Request) -> web.Response:
        feed_log = await self.log(request.match_info["feed"])
        feed, streams = feed_log.entry.feed, self._streams
        return await stream_head.answer(feed_log, streams.table.get(feed.name) if streams and feed.is_stream else None)

    async def _followers(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        following = (*self._sse.following(), *self._websockets.following())
        return follower_list.answer(request, (one for one in following if principal.may(Action.ADMIN, one.feed)))

    async def log(self, feed: str) -> FeedLog:
        """The log of a feed; raises `Problem` 404."""
        try:
            return await (self._stream_logs or self.tail).log(feed)
        except UnknownFeed:
            raise Problem(HTTPStatus.NOT_FOUND, f"No feed is called {feed}; GET /v1/feeds lists them.") from None
        except UnknownTopic as error:
            raise Problem(
                HTTPStatus.NOT_FOUND, f"The feed's topic {error} does not exist yet; it is made by its first writer."
            ) from None
