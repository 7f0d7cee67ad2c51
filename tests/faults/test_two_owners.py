"""Two owners at once: one is stopped past its session, is succeeded, and wakes up while something is changed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faults.deliveries import Event
from faults.relays import Relays, written
from faults.services import Service
from faults.stage import Stage
from support.receiver import Receiver, receiver, status, when
from support.waiting import until

pytestmark = pytest.mark.faults

NAME = "two"
GONE = status(410)
TAKEN = status(204)


class Owners:
    """The stale owner, frozen with requests under way whose answers wait in its sockets, and its successor."""

    def __init__(self, relays: Relays, receiving: Receiver, stale: Service, successor: Service) -> None:
        self.relays = relays
        self.receiving = receiving
        self.stale = stale
        self.successor = successor

    @property
    def ids(self) -> set[str]:
        """What has come since `receiving.deliveries` was cleared."""
        return set(self.receiving.ids)

    async def wake(self) -> None:
        """Let the stale one go on, until it has learned that it owns nothing and has joined again."""
        before = self._releases()
        self.stale.send(signal.SIGCONT)
        await until(lambda: self._releases() > before, 60)
        await self.relays.stage.ready()

    def _releases(self) -> int:
        return self.stale.told().count("partitions_released")

    async def third(self) -> None:
        """End the successor as a crash would: whoever is left knows only what is in Kafka."""
        await self.successor.kill(keep=False)
        await until(lambda: self.relays.owned_by(NAME, self.stale), 60)


@contextlib.asynccontextmanager
async def frozen(stage: Stage, directory: Path, answer: Any = TAKEN, **members: Any) -> AsyncIterator[Owners]:
    """Some events are delivered; then the owner stops with requests under way, and the other goes on."""
    relays = Relays(stage, directory / "feeds")
    await relays.start()
    async with receiver() as receiving:
        await relays.create(NAME, receiving.url, **members)
        await delivered(relays, receiving, "before", 60)
        held = asyncio.Event()
        receiving.answer = when(held, answer)
        await written(relays.servers, 8, "held")
        await until(lambda: receiving.waiting >= 4)
        stale = await relays.owner(NAME)
        assert stale is not None
        successor = await relays.other(stale)
        stale.send(signal.SIGSTOP)
        held.set()
        receiving.answer = TAKEN
        await until(lambda: relays.owned_by(NAME, successor), 60)
        yield Owners(relays, receiving, stale, successor)
        await stage.stop()


async def delivered(relays: Relays, receiving: Receiver, name: str, count: int = 20) -> dict[str, Event]:
    """Write events, and wait until they were delivered and nothing is left to do."""
    events = await written(relays.servers, count, name)
    await until(lambda: events.keys() <= set(receiving.ids), 60)
    await relays.quiet([NAME])
    return events


async def test_a_seek_back_is_done_again_by_whoever_comes_after(stage: Stage, tmp_path: Path) -> None:
    async with frozen(stage, tmp_path) as owners:
        relays, receiving = owners.relays, owners.receiving
        await until(lambda: len(owners.ids) == 68, 60)
        # The endpoint is down, so that nothing of what was asked for is delivered before the stale one wakes up.
        receiving.answer = status(503, {"Retry-After": "8"})
        epoch = await relays.seek(NAME, "-1")
        await until(lambda: _paused(relays))
        await owners.wake()
        await owners.third()
        assert (await relays.status(NAME))["epoch"] == epoch
        receiving.deliveries.clear()
        receiving.answer = TAKEN
        await until(lambda: len(owners.ids) == 68, 60)


async def _paused(relays: Relays) -> bool:
    return (await relays.status(NAME))["breaker"]["paused_until"] is not None


async def test_a_seek_that_the_stale_owner_was_asked_for_does_not_undo_a_later_one(
    stage: Stage, tmp_path: Path
) -> None:
    relays = Relays(stage, tmp_path / "feeds")
    await relays.start()
    async with receiver() as receiving:
        await relays.create(NAME, receiving.url)
        await delivered(relays, receiving, "before", 60)
        middle = (await relays.status(NAME))["offset"]
        await delivered(relays, receiving, "after")
        stale = await relays.owner(NAME)
        assert stale is not None
        successor = await relays.other(stale)
        stale.send(signal.SIGSTOP)
        # It lies in the stale one's socket until that wakes up; meanwhile the gateway asks the successor.
        first = await relays.seek(NAME, "-1")
        assert await relays.owned_by(NAME, successor)
        epoch = await relays.seek(NAME, middle)
        assert epoch > first
        await relays.quiet([NAME])
        owners = Owners(relays, receiving, stale, successor)
        await owners.wake()
        receiving.deliveries.clear()
        await owners.third()
        await delivered(relays, receiving, "last")
        assert (await relays.status(NAME))["epoch"] == epoch
        assert not [event_id for event_id in owners.ids if event_id.startswith("before")]
    await stage.stop()


async def test_a_pause_holds_and_nothing_is_lost_when_it_ends(stage: Stage, tmp_path: Path) -> None:
    async with frozen(stage, tmp_path) as owners:
        relays = owners.relays
        code, _ = await relays.call("POST", f"/{NAME}/pause")
        assert code == 200
        await until(lambda: relays.has(NAME, in_flight=0))
        await owners.wake()
        owners.receiving.deliveries.clear()
        late = await written(relays.servers, 20, "late")
        await until(lambda: _lags(relays, len(late)))
        await owners.third()
        shown = await relays.show(NAME)
        assert (shown["state"], owners.ids) == ("paused", set())
        assert (await relays.call("POST", f"/{NAME}/resume"))[0] == 200
        await until(lambda: late.keys() <= owners.ids, 60)


async def _lags(relays: Relays, events: int) -> bool:
    return bool((await relays.status(NAME))["lag"] >= events)


async def test_a_new_url_holds_and_gets_all_that_comes(stage: Stage, tmp_path: Path) -> None:
    async with frozen(stage, tmp_path) as owners, receiver() as moved:
        relays = owners.relays
        code, body = await relays.call("PATCH", f"/{NAME}", {"url": moved.url})
        assert code == 200, body
        await owners.wake()
        owners.receiving.deliveries.clear()
        await delivered(relays, moved, "late")
        await owners.third()
        await delivered(relays, moved, "later")
        assert owners.ids == set()
        assert (await relays.show(NAME))["url"] == moved.url


async def test_an_answer_from_before_does_not_disable_what_was_changed_since(stage: Stage, tmp_path: Path) -> None:
    async with frozen(stage, tmp_path, GONE) as owners, receiver() as moved:
        relays = owners.relays
        assert (await relays.call("PATCH", f"/{NAME}", {"url": moved.url}))[0] == 200
        # 410s lie in the sockets of the stale one.
        await owners.wake()
        await delivered(relays, moved, "late")
        await owners.third()
        assert (await relays.show(NAME))["state"] == "active"


async def test_what_was_deleted_stays_so_and_one_made_again_begins_anew(stage: Stage, tmp_path: Path) -> None:
    async with frozen(stage, tmp_path) as owners, receiver() as again:
        relays = owners.relays
        assert (await relays.call("DELETE", f"/{NAME}"))[0] == 204
        await relays.create(NAME, again.url)
        await until(lambda: len(set(again.ids)) == 68, 60)
        await owners.wake()
        owners.receiving.deliveries.clear()
        await delivered(relays, again, "late")
        again.deliveries.clear()
        await owners.third()
        await delivered(relays, again, "later")
        # What the stale one wrote was of the one that is no more; this one is not begun anew.
        assert not owners.ids
        assert not [event_id for event_id in again.ids if event_id.startswith("before")]
