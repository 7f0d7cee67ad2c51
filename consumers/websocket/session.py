"""The subprotocol `headrace.v1`: JSON text frames both ways, several feeds on one socket (docs/websocket.md)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from headrace.consumers.follower import Ending, Follower
from headrace.consumers.following import Following
from headrace.consumers.websocket.frames import PING, CloseCode, Opcode
from headrace.consumers.websocket.messages import (
    Grant,
    Ping,
    PublishEvents,
    Refused,
    Subscribe,
    Unsubscribe,
    read_frame,
)
from headrace.consumers.websocket.socket import BUSY, CODES, Socket
from headrace.consumers.websocket.subscription import OpenLog, Subscription
from headrace.consumers.websocket.writes import Writes
from headrace.http.problems import Problem, problem_of

SUBPROTOCOL = "headrace.v1"
MAX_SUBSCRIPTIONS = 100
MAX_WAITING_BYTES = 2**20
"""Nothing more is read of a client while so much of what it published waits for Kafka."""
PUBLISHED_WAIT_S = 1.0

HEARTBEAT = b'{"type":"heartbeat"}'

"""Writes CloudEvents to a feed and tells what became of each; raises what `problem_of` knows."""


class Session:
    """What one client has asked for on one socket.

    What it publishes is written in its order, a frame at a time; all else is done as it comes.
    """

    def __init__(self, socket: Socket, feed: str, open_log: OpenLog, writes: Writes | None, flush_s: float) -> None:
        self._socket = socket
        self._feed = feed
        self._open_log = open_log
        self._writes = writes
        self._flush_s = flush_s
        self._subscriptions: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
        self._to_publish: deque[tuple[PublishEvents, int]] = deque()
        self._waiting_bytes = 0
        self._publishing: asyncio.Task[None] | None = None
        self._sent_s = time.monotonic()
        socket.on_message = self._take
        socket.on_change = self._changed

    # The socket

    def keep_alive(self, now_s: float, heartbeat_s: float) -> None:
        """End a session that is old enough; let one that is quiet be heard."""
        if not self._socket.open:
            return
        if self._socket.closes_at_s < now_s:
            self.end(Ending.RESUME)
        elif now_s - self._sent_s > heartbeat_s and not self._socket.full:
            # The frame for programs, which never see the ping; the ping for what lies between.
            self._send(HEARTBEAT)
            self._socket.write(PING, ())
            for subscription, _ in self._subscriptions.values():
                subscription.tell_position()

    def following(self) -> Iterator[Following]:
        """Its subscriptions, as an operator is told of them."""
        for subscription, _ in self._subscriptions.values():
            if (found := subscription.following(self._socket)) is not None:
                yield found

    async def drain(self) -> None:
        """Let what was published be answered, for a moment, then close."""
        self._socket.hold(BUSY)
        if self._publishing is not None:
            await asyncio.wait([self._publishing], timeout=PUBLISHED_WAIT_S)
        if self._socket.full:
            self._socket.abort()  # it might never take what was written to it
        else:
            self.end(Ending.GOING_AWAY)

    def end(self, why: Ending) -> None:
        """Tell where each subscription stands, and close."""
        stands = [{"id": s.id, "feed": s.feed, "offset": s.offset} for s, _ in self._subscriptions.values()]
        self._stop()
        self._tell("closing", code=int(CODES[why]), reason=why.value, subscriptions=stands)
        self._socket.close(CODES[why], why.value)

    def _stop(self) -> None:
        for _, task in self._subscriptions.values():
            task.cancel()
        self._subscriptions.clear()

    def _changed(self, follower: Follower) -> None:
        if not follower.open:
            self._stop()
            if follower.transport is None and self._publishing is not None:
                self._publishing.cancel()
        elif not follower.full:
            for subscription, _ in self._subscriptions.values():
                subscription.wake()

    def _send(self, message: bytes, events: int = 0) -> None:
        self._sent_s = time.monotonic()
        self._socket.send(Opcode.TEXT, message)
        if events:
            self._socket.charge(events, 0)

    def _tell(self, kind: str, **members: Any) -> None:
        self._send(orjson.dumps({"type": kind, **members}))

    def _refuse(self, frame_id: str | None, problem: Problem) -> None:
        self._tell("error", id=frame_id, problem=problem.body())

    # What the client asks for

    def _take(self, opcode: Opcode, message: bytes) -> None:
        if opcode is not Opcode.TEXT:
            self._stop()
            self._socket.close(CloseCode.UNSUPPORTED_DATA, f"{SUBPROTOCOL} is text")
            return
        try:
            asked = read_frame(message)
            if isinstance(asked, Subscribe):
                self._subscribe(asked)
            elif isinstance(asked, Unsubscribe):
                self._unsubscribe(asked)
            elif isinstance(asked, Grant):
                self._known(asked.id).grant(asked.events, asked.bytes)
            elif isinstance(asked, PublishEvents):
                self._queue(asked, len(message))
            else:
                self._pong(asked)
        except Refused as refused:
            self._refuse(refused.id, refused.problem)

    def _subscribe(self, asked: Subscribe) -> None:
        if asked.id in self._subscriptions:
            raise _refused(
                asked.id, HTTPStatus.CONFLICT, f"A subscription {asked.id} is here already: take another id."
            )
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            detail = f"A socket has at most {MAX_SUBSCRIPTIONS} subscriptions: open another."
            raise _refused(asked.id, HTTPStatus.TOO_MANY_REQUESTS, detail)
        feed = self._feed if asked.feed is None else asked.feed
        subscription = Subscription(asked, feed, self._send, lambda: self._socket.full, self._flush_s)
        task = asyncio.ensure_future(subscription.run(self._open_log))
        self._subscriptions[asked.id] = (subscription, task)
        task.add_done_callback(lambda done: self._ended(asked.id, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if (found := self._subscriptions.get(name)) is not None and found[1] is task:
            del self._subscriptions[name]

    def _unsubscribe(self, asked: Unsubscribe) -> None:
        subscription = self._known(asked.id)
        self._subscriptions.pop(asked.id)[1].cancel()
        self._tell("unsubscribed", id=asked.id, offset=subscription.offset)

    def _known(self, name: str) -> Subscription:
        found = self._subscriptions.get(name)
        if found is None:
            raise _refused(name, HTTPStatus.NOT_FOUND, f"No subscription {name} is on this socket.")
        return found[0]

    def _pong(self, asked: Ping) -> None:
        self._tell("pong", **({} if asked.id is None else {"id": asked.id}))

    # Publishing

    def _queue(self, asked: PublishEvents, size_bytes: int) -> None:
        if self._writes is None:
            detail = "This service only reads: publish at a gateway, or by POST where events are taken."
            raise _refused(asked.id, HTTPStatus.METHOD_NOT_ALLOWED, detail)
        self._socket.charge(len(asked.events or asked.messages or ()), size_bytes)
        self._to_publish.append((asked, size_bytes))
        self._waiting_bytes += size_bytes
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._socket.hold(BUSY)
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.ensure_future(self._publish_all(self._writes))

    async def _publish_all(self, writes: Writes) -> None:
        while self._to_publish:
            asked, size_bytes = self._to_publish.popleft()
            feed = self._feed if asked.feed is None else asked.feed
            try:
                if asked.messages is None:
                    self._tell("published", id=asked.id, events=await writes.publish(feed, asked.events or []))
                else:
                    self._tell("published", id=asked.id, offset=await writes.append(feed, asked.messages))
            except Exception as error:
                self._refuse(asked.id, problem_of(error, mode="websocket", feed=feed))
            self._waiting_bytes -= size_bytes
            if self._waiting_bytes <= MAX_WAITING_BYTES:
                self._socket.release(BUSY)


def _refused(name: str, status: HTTPStatus, detail: str) -> Refused:
    return Refused(Problem(status, detail), name)
