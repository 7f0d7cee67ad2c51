"""One feed on a `headrace.v1` socket: from its position on, as fast as credit and the socket allow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from headrace import metrics
from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.core.position import Position, PositionError, lowered
from headrace.consumers.long_poll import observe_latency
from headrace.consumers.refused import refused
from headrace.consumers.subscription_request import resolve
from headrace.consumers.websocket.flow import Credit
from headrace.consumers.websocket.messages import Subscribe
from headrace.http.problems import Problem, problem_of

MODE = "websocket"
FRAME_EVENTS = 1000
FRAME_BYTES = 256 * 1024
"""A frame holds about so many bytes at most: clients that are slow add up."""
WAIT_S = 60.0

OpenLog = Callable[[str], Awaitable[FeedLog]]


class Subscription:
    """Reads when there is credit and the client takes what it is sent; until then it is a position.

    `send` takes a text message. `is_full` says whether the socket's buffer is; after it has changed, `wake` is to be
    called.
    """

    def __init__(
        self, asked: Subscribe, feed: str, send: Callable[[bytes], None], is_full: Callable[[], bool], flush_s: float
    ) -> None:
        self.id = asked.id
        self.feed = feed
        self._asked = asked
        self._send = send
        self._is_full = is_full
        self._flush_s = flush_s
        self._credit = Credit(asked.credit.events, asked.credit.bytes)
        self._woken = asyncio.Event()
        self._log: FeedLog | None = None
        self._position: Position = ()

    @property
    def offset(self) -> str | None:
        """The token after what was sent; None before it has begun."""
        return self._log.token(self._position) if self._log is not None else None

    def grant(self, events: int, size_bytes: int) -> None:
        """More may be sent."""
        self._credit.grant(events, size_bytes)
        self.wake()

    def wake(self) -> None:
        """Look again whether something may be sent."""
        self._woken.set()

    async def run(self, open_log: OpenLog) -> None:
        """Send until it cannot go on; then the client has been told why. Ends early only by being cancelled."""
        feed_log: FeedLog | None = None
        try:
            feed_log = await open_log(self.feed)
            self._position = await resolve(self._asked, feed_log)
            self._log = feed_log
            self._tell("subscribed", feed=self.feed, offset=self.offset)
            with metrics.followers.labels(self.feed, MODE).track_inprogress():
                while True:
                    await self._follow(feed_log)
                    # The topic is no more, or was made again: the token tells.
                    token = feed_log.token(self._position)
                    feed_log = await open_log(self.feed)
                    self._position = await feed_log.resolve(token)
                    self._log = feed_log
        except PositionError as error:
            assert feed_log is not None
            self._refuse(refused(feed_log, error))
        except Exception as error:
            self._refuse(problem_of(error, mode=MODE, feed=self.feed))

    def _refuse(self, problem: Problem) -> None:
        self._tell("error", problem=problem.body(), **({} if self.offset is None else {"offset": self.offset}))

    async def _follow(self, feed_log: FeedLog) -> None:
        """Send until the log is gone. Raises `PositionGone`, `KafkaUnavailable`."""
        told = False
        while not feed_log.gone:
            await self._may_send()
            limit, max_bytes = min(self._credit.events, FRAME_EVENTS), min(self._credit.read_bytes, FRAME_BYTES)
            batch = await feed_log.read(self._position, limit, max_bytes)
            if feed_log.gone:
                return
            if batch.records:
                told = self._send_events(feed_log, batch)
                await asyncio.sleep(0)
                continue
            self._position = batch.position
            if not told and self._position == feed_log.tail:
                told = True
                self._tell("up_to_date", offset=self.offset)
            if await feed_log.wait(self._position, WAIT_S):
                await asyncio.sleep(self._flush_s)

    async def _may_send(self) -> None:
        while self._credit.is_short or self._is_full():
            self._woken.clear()
            await self._woken.wait()

    def _send_events(self, feed_log: FeedLog, batch: Batch) -> bool:
        """Send as many as there is credit for; whether the client is up to date then."""
        events = [feed_log.json(record) for record in batch.records]
        count = self._credit.spend([len(event) for event in events])
        if count == 0:
            self._tell("blocked", needed_bytes=self._credit.needed_bytes)
            return False
        sent = batch.records[:count]
        self._position = lowered(batch.position, ((r.partition, r.offset) for r in batch.records[count:]))
        up_to_date = self._position == feed_log.tail
        head = {"type": "events", "id": self.id, "offset": self.offset, "up_to_date": up_to_date}
        message = orjson.dumps(head)[:-1] + b',"events":[' + b",".join(events[:count]) + b"]}"
        self._send(message)
        metrics.events_out.labels(self.feed, MODE).inc(count)
        metrics.bytes_out.labels(self.feed, MODE).inc(len(message))
        if up_to_date:
            observe_latency(feed_log, MODE, sent)
        return up_to_date

    def _tell(self, kind: str, **members: Any) -> None:
        self._send(orjson.dumps({"type": kind, "id": self.id, **members}))
