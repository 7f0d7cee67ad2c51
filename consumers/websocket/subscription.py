"""One feed on a `headrace.v1` socket: from its position on, as fast as credit and the socket allow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from headrace import metrics
from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.core.position import Position, PositionError, lowered
from headrace.consumers.following import Following, State
from headrace.consumers.long_poll import observe_latency
from headrace.consumers.read_request import check_partition
from headrace.consumers.refused import refused
from headrace.consumers.selected_log import SelectedLog
from headrace.consumers.subscription_request import place_of
from headrace.consumers.websocket.flow import Credit
from headrace.consumers.websocket.messages import Subscribe
from headrace.consumers.websocket.socket import Socket
from headrace.http.problems import Problem, problem_of

MODE = "websocket"
FRAME_EVENTS = 1000
FRAME_BYTES = 256 * 1024
"""A frame holds about so many bytes at most: clients that are slow add up."""
WAIT_S = 60.0

OpenLog = Callable[[str], Awaitable[FeedLog]]
Send = Callable[[bytes, int], None]


class Subscription:
    """Reads when there is credit and the client takes what it is sent; until then it is a position.

    `send` takes a text message, and how many events it holds. `is_full` says whether the socket's buffer is; after it
    has changed, `wake` is to be called.
    """

    def __init__(self, asked: Subscribe, feed: str, send: Send, is_full: Callable[[], bool], flush_s: float) -> None:
        self.id = asked.id
        self.feed = feed
        self._asked = asked
        self._send = send
        self._is_full = is_full
        self._flush_s = flush_s
        self._sent_s = 0.0
        self._credit = Credit(asked.credit.events, asked.credit.bytes)
        self._woken = asyncio.Event()
        self._log: SelectedLog | None = None
        self._position: Position = ()
        self._told: Position = ()
        self._since_s = time.time()

    @property
    def offset(self) -> str | None:
        """The token after what was sent or not wanted; None before it has begun."""
        return self._log.feed_log.token(self._position) if self._log is not None else None

    def following(self, socket: Socket) -> Following | None:
        """It as an operator is told of it; None before it has begun."""
        if self._log is None:
            return None
        state: State = "catching-up"
        if socket.full:
            state = "full"
        elif self._log.at_tail(self._position):
            state = "front"
        elif self._credit.is_short:
            state = "no-credit"
        return Following(MODE, self._log, socket, state, self._position, self._since_s, self.id)

    def tell_position(self) -> None:
        """Say where it stands, if nothing that came since it was said was wanted: who resumes need not look again."""
        if self._log is not None and self._told != self._position and self._log.at_tail(self._position):
            self._tell_up_to_date()

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
            log = await self._begin(feed_log)
            self._tell("subscribed", feed=self.feed, offset=self.offset)
            with metrics.followers.labels(self.feed, MODE).track_inprogress():
                while True:
                    await self._follow(log)
                    # The topic is no more, or was made again: the token tells.
                    token = feed_log.token(self._position)
                    feed_log = await open_log(self.feed)
                    self._position = await feed_log.resolve(token)
                    log = self._log = SelectedLog(feed_log, self._asked.selection)
        except PositionError as error:
            assert feed_log is not None
            self._refuse(refused(feed_log, error))
        except Exception as error:
            self._refuse(problem_of(error, mode=MODE, feed=self.feed))

    async def _begin(self, feed_log: FeedLog) -> SelectedLog:
        await check_partition(self._asked.selection, feed_log)
        log = SelectedLog(feed_log, self._asked.selection)
        position = await place_of(self._asked, feed_log)
        await log.check(position)
        self._position, self._log = position, log
        return log

    def _refuse(self, problem: Problem) -> None:
        self._tell("error", problem=problem.body(), **({} if self.offset is None else {"offset": self.offset}))

    async def _follow(self, log: SelectedLog) -> None:
        """Send until the log is gone. Raises `PositionGone`, `KafkaUnavailable`."""
        told = False
        while not log.gone:
            await self._may_send()
            limit, max_bytes = min(self._credit.events, FRAME_EVENTS), min(self._credit.read_bytes, FRAME_BYTES)
            batch = await log.read(self._position, limit, max_bytes)
            if log.gone:
                return
            if batch.records:
                told = self._send_events(log, batch)
                await asyncio.sleep(0)
                continue
            self._position = batch.position
            if not log.at_tail(self._position):
                continue  # none of those that were looked at is wanted
            if not told:
                told = True
                self._tell_up_to_date()
            if await log.wait(self._position, WAIT_S):
                # What comes after a pause goes at once; what comes soon after that is collected.
                await asyncio.sleep(self._sent_s + self._flush_s - time.monotonic())

    async def _may_send(self) -> None:
        while self._credit.is_short or self._is_full():
            self._woken.clear()
            slow = metrics.slow_followers.labels(self.feed, MODE)
            with slow.track_inprogress() if self._is_full() else contextlib.nullcontext():
                await self._woken.wait()

    def _send_events(self, log: SelectedLog, batch: Batch) -> bool:
        """Send as many as there is credit for; whether the client is up to date then."""
        events = log.feed_log.jsons(batch.records)
        count = self._credit.spend([len(event) for event in events])
        if count == 0:
            self._tell("blocked", needed_bytes=self._credit.needed_bytes)
            return False
        sent = batch.records[:count]
        self._position = lowered(batch.position, ((r.partition, r.offset) for r in batch.records[count:]))
        up_to_date = log.at_tail(self._position)
        self._told = self._position
        head = {"type": "events", "id": self.id, "offset": self.offset, "up_to_date": up_to_date}
        message = orjson.dumps(head)[:-1] + b',"events":[' + b",".join(events[:count]) + b"]}"
        self._send(message, count)
        self._sent_s = time.monotonic()
        metrics.events_out.labels(self.feed, MODE).inc(count)
        metrics.bytes_out.labels(self.feed, MODE).inc(len(message))
        if up_to_date:
            observe_latency(log.feed_log, MODE, sent)
        return up_to_date

    def _tell_up_to_date(self) -> None:
        self._told = self._position
        self._tell("up_to_date", offset=self.offset)

    def _tell(self, kind: str, **members: Any) -> None:
        self._send(orjson.dumps({"type": kind, "id": self.id, **members}), 0)
