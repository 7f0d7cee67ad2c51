"""WebSocket by Upgrade on a feed's URL: the handshake, and who then does what on the socket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import web

from headrace.access.principal import Everybody, principal_of
from headrace.access.scopes import Action
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.fan_out import KEEP_ALIVE_S, SLICE
from headrace.consumers.fan_outs import FanOuts, planned_end_s
from headrace.consumers.follower import Ending
from headrace.consumers.following import Following
from headrace.consumers.read_request import parse
from headrace.consumers.selected_log import SelectedLog
from headrace.consumers.selection import Selection
from headrace.consumers.websocket import session, stream
from headrace.consumers.websocket.deflate import Deflate
from headrace.consumers.websocket.frames import CloseCode, Opcode
from headrace.consumers.websocket.handshake import Handshake, shake_hands
from headrace.consumers.websocket.session import Session
from headrace.consumers.websocket.socket import CLOSE_WAIT_S, HIGH_WATER_BYTES, Socket
from headrace.consumers.websocket.subscription import MODE, OpenLog
from headrace.consumers.websocket.writes import AllowedWrites, Writes
from headrace.http.problems import Problem, stopping
from headrace.settings import ServeSettings


class WebSockets:
    """All WebSocket connections of a service: a fan-out for each feed and compression, a session for each client."""

    def __init__(self, settings: ServeSettings, open_log: OpenLog, writes: Writes | None) -> None:
        self._settings = settings
        self._open_log = open_log
        self._writes = writes
        # Those of clients that just get the events.
        self._fan_outs: FanOuts[Deflate | None] = FanOuts(MODE, settings, stream.StreamFrames)
        self._sessions: dict[Socket, Session | None] = {}
        self._watching: asyncio.Task[None] | None = None
        self._all_lost = asyncio.Event()
        self._draining = False

    async def answer(self, request: web.Request, feed_log: FeedLog) -> web.StreamResponse:
        """Shake hands and take the connection. Raises `Problem`, `MalformedPosition`, `PositionGone`."""
        agreed = shake_hands(request, (session.SUBPROTOCOL, stream.SUBPROTOCOL))
        if agreed.subprotocol == session.SUBPROTOCOL:
            socket = self._take_over(request, agreed, ())
            feed, flush_s = feed_log.entry.feed.name, self._settings.flush_s
            open_log, writes = self._allowed(principal_of(request))
            self._sessions[socket] = Session(socket, feed, open_log, writes, flush_s)
            if self._watching is None:
                self._watching = asyncio.ensure_future(self._watch())
        else:
            selection, position = await self._start(request, feed_log)
            socket = self._take_over(request, agreed, position, Stream_Next_Offset=feed_log.token(position))
            socket.on_message = lambda opcode, payload: _take_nothing(socket, opcode)
            socket.reason = feed_log.token
            self._fan_outs.of(feed_log, selection, agreed.deflate).add(socket)
        await asyncio.sleep(0)  # aiohttp cancels this handler here: the connection is no longer its own
        return web.Response()

    async def _start(self, request: web.Request, feed_log: FeedLog) -> tuple[Selection, Position]:
        """What the client wants, and where it begins. What is gone is told as a status, before the answer begins."""
        for name in ("live", "limit"):
            if name in request.query:
                raise Problem(HTTPStatus.BAD_REQUEST, f"{name} has no meaning for a WebSocket.", parameter=name)
        read = parse(request, self._settings)
        position = await read.position(feed_log)
        await SelectedLog(feed_log, read.selection).check(position)
        return read.selection, position

    def _take_over(self, request: web.Request, agreed: Handshake, position: Position, **headers: str) -> Socket:
        if self._draining:
            raise stopping()
        if request.transport is None:
            raise ConnectionResetError
        closes_at_s = planned_end_s(self._settings.live_s)
        socket = Socket(position, closes_at_s, self._settings.websocket_message_bytes, agreed.deflate)
        socket.on_lost = self._lost
        self._sessions[socket] = None
        request.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        socket.take_over(request, agreed.head(**headers))
        principal = principal_of(request)
        socket.meter(principal)
        socket.on_close = principal.on_end(lambda: self._revoked(socket))
        return socket

    def _allowed(self, principal: Everybody) -> tuple[OpenLog, Writes | None]:
        """What a session may call."""

        async def open_log(feed: str) -> FeedLog:
            principal.require(Action.READ, feed)
            return await self._open_log(feed)

        return open_log, None if self._writes is None else AllowedWrites(self._writes, principal)

    def _revoked(self, socket: Socket) -> None:
        found = self._sessions.get(socket)
        if found is None or socket.full:
            socket.cut(Ending.UNAUTHORIZED)
        else:
            found.end(Ending.UNAUTHORIZED)

    def _lost(self, socket: Socket) -> None:
        del self._sessions[socket]
        if not self._sessions:
            self._all_lost.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            now_s = time.monotonic()
            for index, found in enumerate(list(self._sessions.values())):
                if index % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                if found is not None:
                    found.keep_alive(now_s, self._settings.heartbeat_s)

    def following(self) -> Iterator[Following]:
        """All who follow, as an operator is told of them; with `headrace.v1` each subscription."""
        yield from self._fan_outs.following()
        for found in self._sessions.values():
            if found is not None:
                yield from found.following()

    async def drain(self) -> None:
        """Close all connections, with some time for the handshake; their clients resume elsewhere."""
        self._draining = True
        if self._watching is not None:
            self._watching.cancel()
        self._fan_outs.end(Ending.GOING_AWAY)
        await asyncio.gather(*(found.drain() for found in self._sessions.values() if found is not None))
        if self._sessions:
            self._all_lost.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await self._all_lost.wait()


def _take_nothing(socket: Socket, opcode: Opcode) -> None:
    socket.close(CloseCode.POLICY, f"only {session.SUBPROTOCOL} takes messages")
