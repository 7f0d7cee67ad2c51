"""Fan-out on the clock: what comes within some milliseconds is framed once, and written once per follower."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import structlog

from headrace import metrics
from headrace.consumers.conflation import conflated
from headrace.consumers.core.feed_log import Batch
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.follower import Ending, Follower
from headrace.consumers.following import Following, State
from headrace.consumers.long_poll import observe_latency
from headrace.consumers.read_request import Slow
from headrace.consumers.selected_log import SelectedLog
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

SLICE = 500
"""Followers written to before others get the event loop: accepting and pings must not starve."""

CATCH_UP_EVENTS = 1000
CATCH_UP_BYTES = 256 * 1024
"""A follower that is behind has a chunk of its own, of about this size at most: followers that are slow add up."""
CHUNKS = 8
"""Chunks of those who catch up that are remembered."""
KEEP_ALIVE_S = 1.0
LINGER_S = 30.0
"""How long a follower that is closed may take for what was written to it."""
MOST = 2**40
"""No bound: what the rings hold is bounded already."""


class Frames(Protocol):
    """How a mode says things on its connections, the same to all followers of a fan-out."""

    @property
    def heartbeat(self) -> bytes:
        """What a quiet connection gets."""

    def chunk(self, batch: Batch, up_to_date: bool) -> bytes:
        """A batch and the position after it; only the position where the batch is empty."""

    def farewell(self, position: Position) -> bytes:
        """The last words to one that is too slow, with the position to go on from."""


class FanOut:
    """All followers of one feed that want the same of it, in one frame format.

    A follower is either *at the front*, where it gets the chunk that all get, or *catching up*, where a task feeds it
    from its own position, from history and rings, as fast as it takes it. It changes to the front with no await
    between its last own chunk and joining; a follower whose socket is full leaves the front with its position and
    waits in `_full`. So no event is lost or repeated, and a slow client costs no more than its socket's buffer.
    """

    def __init__(
        self,
        log: SelectedLog,
        frames: Frames,
        mode: str,
        flush_s: float,
        heartbeat_s: float,
        slow_s: float,
        on_idle: Callable[[], None],
    ) -> None:
        """`on_idle` is called when the last follower is gone; `slow_s` is how long one with `Slow.DISCONNECT` may be
        full."""
        self._log = log
        self._frames = frames
        self._mode = mode
        self._flush_s = flush_s
        self._heartbeat_s = heartbeat_s
        self._slow_s = slow_s
        self._on_idle = on_idle
        self._front: dict[Follower, None] = {}
        self._joining: dict[Follower, None] = {}
        self._position: Position = log.tail
        self._told: Position = self._position
        self._count_open = 0
        # Chunks made lately for those who catch up: many do so from the same place, such as the beginning.
        self._chunks: OrderedDict[tuple[Position, Position, bool, bool], bytes] = OrderedDict()
        self._catching_up: dict[Follower, asyncio.Task[None]] = {}
        self._full: dict[Follower, None] = {}
        self._grown = asyncio.Event()
        self._flushed_s = self._written_s = self._kept_alive_s = time.monotonic()
        feed = log.entry.feed.label
        self._followers = metrics.followers.labels(feed, mode)
        self._slow = metrics.slow_followers.labels(feed, mode)
        self._events_out = metrics.events_out.labels(feed, mode)
        self._bytes_out = metrics.bytes_out.labels(feed, mode)
        log.feed_log.listen(self._grown.set)
        self._ticking = asyncio.ensure_future(self._tick())

    def add(self, follower: Follower) -> None:
        """Feed a follower from its position on, until it is gone."""
        follower.on_change = self._changed
        self._followers.inc()
        self._count_open += 1
        self._catch_up(follower)

    def following(self) -> list[Following]:
        """All followers, as an operator is told of them."""
        where: dict[Follower, State] = dict.fromkeys((*self._front, *self._joining), "front")
        where |= dict.fromkeys(self._catching_up, "catching-up")
        where |= dict.fromkeys(self._full, "full")
        return [Following(self._mode, self._log, f, state, f.position, f.since_s) for f, state in where.items()]

    def end(self, why: Ending) -> None:
        """Close all followers, and stop."""
        self._log.feed_log.unlisten(self._grown.set)
        self._ticking.cancel()
        for follower in self._all():
            follower.cut(why)

    def _all(self) -> list[Follower]:
        return list({**self._front, **self._joining, **self._full, **dict.fromkeys(self._catching_up)})

    def _changed(self, follower: Follower) -> None:
        """A follower's socket became full, or empty again, or was closed."""
        if follower in self._full:
            del self._full[follower]
            self._slow.dec()
        if follower.full or not follower.open:
            self._front.pop(follower, None)
            self._joining.pop(follower, None)
            if follower.transport is not None:
                self._full[follower] = None
                self._slow.inc()
        elif follower not in self._front and follower not in self._joining and follower not in self._catching_up:
            self._catch_up(follower)
        if follower.transport is None:
            follower.on_change = None
            self._followers.dec()
            self._count_open -= 1
            if self._count_open == 0:
                self._on_idle()

    # At the front

    async def _tick(self) -> None:
        while not self._log.gone:
            try:
                await self._turn()
            except Exception:
                # Who is at the front may lack what should have been written: let it come again with its position.
                self._failed(list(self._front))
        self.end(Ending.GONE)

    async def _turn(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEEP_ALIVE_S):
                await self._grown.wait()
        if self._grown.is_set():
            # What comes after a pause goes at once; what comes soon after that is collected.
            await asyncio.sleep(self._flushed_s + self._flush_s - time.monotonic())
            self._grown.clear()
            await self._flush()
            self._flushed_s = time.monotonic()
        if time.monotonic() - self._kept_alive_s >= KEEP_ALIVE_S:
            self._kept_alive_s = time.monotonic()
            await self._keep_alive()

    def _failed(self, followers: list[Follower]) -> None:
        log.exception("followers_closed", feed=self._log.entry.feed.name, followers=len(followers))
        metrics.errors.labels(self._mode).inc()
        for follower in followers:
            follower.end(Ending.FAILED)

    async def _flush(self) -> None:
        batch = self._log.read_rings(self._position, MOST, MOST)
        if batch is None:
            # The rings moved past the front (a stalled process): each goes on from its own position.
            front, self._front = list(self._front), {}
            self._position = self._log.tail
            for follower in front:
                self._catch_up(follower)
            return
        front = list(self._front)
        self._position = batch.position
        self._seat_joining()
        if batch.records and front:
            await self._write_all(front, self._frames.chunk(batch, True), batch)
            observe_latency(self._log.feed_log, self._mode, batch.records)
            self._written_s = time.monotonic()
            self._told = batch.position
        if self._log.feed_log.is_closed_at(batch.position):
            for follower in list(self._front):
                self._close(follower, batch.position)

    def _close(self, follower: Follower, position: Position) -> None:
        """Tell a follower that nothing comes after a position any more."""
        follower.write(self._frames.chunk(Batch([], position), True), position)
        follower.end(Ending.CLOSED)

    async def _write_all(self, front: list[Follower], chunk: bytes, batch: Batch) -> None:
        count = 0
        for index, follower in enumerate(front):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            # During a pause it may have left, or left and come back to stand where this chunk ends.
            if follower in self._front and follower.position != batch.position:
                follower.write(chunk, batch.position)
                count += 1
        self._count(batch, chunk, count)

    def _seat_joining(self) -> None:
        """Bring those who had more than the front to where it is now. No await in here."""
        for follower in list(self._joining):
            del self._joining[follower]
            batch = self._log.read_rings(follower.position, MOST, MOST)
            if batch is None or batch.position != self._position:
                self._catch_up(follower)
                continue
            self._front[follower] = None
            if batch.records:
                self._send(follower, batch, self._frames.chunk(batch, True))

    async def _keep_alive(self) -> None:
        now = time.monotonic()
        quiet = now - self._written_s > self._heartbeat_s
        heartbeat = self._frames.heartbeat
        if quiet:
            self._written_s = now
            if self._told != self._position:
                # Nothing that came was wanted: who comes again need not have it looked at again.
                heartbeat = self._frames.chunk(Batch([], self._position), True) or heartbeat
                self._told = self._position
        for index, follower in enumerate(self._all()):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if not follower.open:
                # Closed a while ago, and still it did not take the rest.
                if follower.closes_at_s < now - LINGER_S:
                    follower.abort()
            elif follower.closes_at_s < now:
                follower.end(Ending.RESUME)
            elif self._is_too_slow(follower):
                follower.write(self._frames.farewell(follower.position), follower.position)
                follower.closes_at_s = now
                follower.end(Ending.RESUME)
            elif quiet and follower in self._front:
                follower.write(heartbeat, self._position)

    def _is_too_slow(self, follower: Follower) -> bool:
        return (
            follower.slow is Slow.DISCONNECT and follower.full and time.time() - follower.full_since_s >= self._slow_s
        )

    # Catching up

    def _catch_up(self, follower: Follower) -> None:
        task = asyncio.ensure_future(self._feed(follower))
        self._catching_up[follower] = task
        task.add_done_callback(lambda done: self._caught_up(follower, done))

    def _caught_up(self, follower: Follower, task: asyncio.Task[None]) -> None:
        if self._catching_up.get(follower) is not task:
            return  # it was sent to catch up again before this was called
        del self._catching_up[follower]
        if follower.on_change is not None:
            self._changed(follower)

    async def _feed(self, follower: Follower) -> None:
        """Feed one follower from its position, until it is at the front, full, or gone."""
        position = follower.position
        told: Position | None = None
        try:
            while follower.open and not follower.full:
                if conflate := follower.slow is Slow.CONFLATE and follower.is_behind:
                    batch = await conflated(self._log, position, CATCH_UP_BYTES)
                else:
                    batch = await self._log.read(position, CATCH_UP_EVENTS, CATCH_UP_BYTES)
                start, position = position, batch.position
                if self._log.gone:
                    follower.end(Ending.GONE)
                elif batch.records:
                    self._send(follower, batch, self._chunk(start, batch, conflate=conflate))
                    told = position if position == self._log.tail else None
                    await asyncio.sleep(0)
                elif self._join(follower, batch.position, told):
                    return
                else:
                    await self._log.wait(batch.position, 1.0)
        except (PositionGone, KafkaUnavailable) as error:
            # The client comes again with its position, and is told in an answer what it means.
            log.info("follower_closed", feed=self._log.entry.feed.name, reason=str(error))
            follower.end(Ending.GONE if isinstance(error, PositionGone) else Ending.KAFKA_AWAY)
        except Exception:
            self._failed([follower])

    def _join(self, follower: Follower, position: Position, told: Position | None) -> bool:
        """Take a follower that has had all of the rings to the front; `told` is where it was last told so.

        No await in here.
        """
        if self._log.feed_log.is_closed_at(position):
            self._close(follower, position)
            return True
        if position != self._log.tail:
            return False  # its token is of a process that has read further than this one
        if position != told:
            follower.write(self._frames.chunk(Batch([], position), True), position)
        if not follower.open or follower.full:
            return True
        follower.is_behind = False
        # Where the front has yet to get what this one had, it is seated at the next flush.
        seats = self._front if position == self._position else self._joining
        seats[follower] = None
        return True

    def _chunk(self, start: Position, batch: Batch, *, conflate: bool) -> bytes:
        """The chunk of one who catches up, made once for all who do so from the same place."""
        up_to_date = batch.position == self._log.tail
        key = (start, batch.position, up_to_date, conflate)
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = self._frames.chunk(batch, up_to_date)
            if len(self._chunks) > CHUNKS:
                self._chunks.popitem(last=False)
        return chunk

    def _send(self, follower: Follower, batch: Batch, chunk: bytes) -> None:
        follower.write(chunk, batch.position)
        self._count(batch, chunk, 1)

    def _count(self, batch: Batch, chunk: bytes, followers: int) -> None:
        self._events_out.inc(len(batch.records) * followers)
        self._bytes_out.inc(len(chunk) * followers)
