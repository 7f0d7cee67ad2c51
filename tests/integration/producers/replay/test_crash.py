"""Replays that are killed, or lose Kafka, in the middle: no row is lost, and a repeat has the same id."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from confluent_kafka.admin import AdminClient
from integration.producers.replay.conftest import Log, NewFeed, Stored, Watched, read_log
from support.waiting import until

from headrace.broker import EmbeddedBroker
from headrace.http.service import serving
from headrace.kafka.bridge import Outgoing, ProducerBridge
from headrace.kafka.offsets import Offsets, UnknownTopic
from headrace.producers.replay.data_file import DataFile
from headrace.producers.replay.encode import Ready
from headrace.producers.replay.replay import Job, Replay
from headrace.producers.replay.resume import WINDOW
from headrace.producers.replay.sender import NotAcknowledged, Sender
from headrace.schemas.catalogue import Entry
from headrace.settings import SourceSettings

ROWS = 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "many.ndjson"
    path.write_bytes(b"".join(orjson.dumps({"who": f"k{n % 50}", "n": n}) + b"\n" for n in range(1, ROWS + 1)))
    return path


async def start(settings: SourceSettings, entry: Entry, path: Path) -> Process:
    environment = {
        **os.environ,
        "HEADRACE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "HEADRACE_FEEDS": str(settings.feeds),
        "HEADRACE_SOURCE_PORT": "0",
    }
    arguments = ("-m", "headrace", "source", "replay", str(path), "--feed", entry.feed.name)
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environment, stdout=PIPE, stderr=PIPE)


async def told(process: Process) -> str:
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def stored(kafka: str, entry: Entry) -> int:
    """Events in the log."""
    offsets = Offsets(AdminClient({"bootstrap.servers": kafka}))
    try:
        partitions = (await offsets.identity(entry.feed.topic)).partitions
    except UnknownTopic:
        return 0
    return sum(await offsets.ends(entry.feed.topic, partitions))


async def start_and_wait(settings: SourceSettings, entry: Entry, path: Path, events: int) -> Process:
    """A process in the middle of its work: so many events more are in the log."""
    before = await stored(settings.bootstrap_servers, entry)
    process = await start(settings, entry, path)

    async def there() -> bool:
        assert process.returncode is None, "it ended too early"
        return await stored(settings.bootstrap_servers, entry) >= before + events

    condition: Callable[[], bool | Awaitable[bool]] = there
    await until(condition, 60)
    return process


def check(records: list[Stored], rows: int, *, in_order: bool = True) -> None:
    """Every row at least once, one id each; each key's rows in order apart from repeats."""
    ids: dict[int, str] = {}
    newest: dict[str | None, int] = {}
    for record in sorted(records, key=lambda record: record.offset):
        assert ids.setdefault(record.row, record.headers["ce_id"]) == record.headers["ce_id"]
        assert orjson.loads(record.value)["n"] == record.row
    for record in records:
        if record.row > newest.get(record.key, 0):
            # Nothing between a key's newest row and this one may be missing: the keys take turns.
            assert not in_order or record.row - newest.get(record.key, record.row - 50) == 50
            newest[record.key] = record.row
    assert set(ids) == set(range(1, rows + 1))
    assert len(set(ids.values())) == rows


async def test_a_killed_replay_goes_on_with_every_row_at_least_once(
    settings: SourceSettings, new_feed: NewFeed, log: Log, path: Path
) -> None:
    entry = new_feed(partitions=6)
    for _ in range(2):
        process = await start_and_wait(settings, entry, path, 3_000)
        process.kill()
        await process.communicate()
    assert await stored(settings.bootstrap_servers, entry) < ROWS
    output = await told(await start(settings, entry, path))
    assert f"all {ROWS:,} rows are replayed" in output
    records = log(entry.feed.topic)
    check(records, ROWS)
    assert len(records) <= ROWS + 2 * WINDOW
    assert "were replayed before" in await told(await start(settings, entry, path))


async def test_a_replay_that_is_told_to_end_goes_on_without_repeats(
    settings: SourceSettings, new_feed: NewFeed, log: Log, path: Path
) -> None:
    entry = new_feed(partitions=3)
    for number in (signal.SIGTERM, signal.SIGINT):
        process = await start_and_wait(settings, entry, path, 2_000)
        process.send_signal(number)
        assert "Run the same command again to go on." in await told(process)
    await told(await start(settings, entry, path))
    records = log(entry.feed.topic)
    check(records, ROWS)
    assert len(records) == ROWS


@pytest.mark.parametrize("delivery_timeout_s", [60.0, 1.0], ids=["tried on", "failed and sent again"])
async def test_a_replay_outlasts_a_crash_of_kafka(
    feeds: Path, new_feed: NewFeed, path: Path, delivery_timeout_s: float
) -> None:
    entry = new_feed(partitions=3)
    with EmbeddedBroker() as broker:
        settings = SourceSettings(
            bootstrap_servers=broker.bootstrap_servers, feeds=feeds, delivery_timeout_s=delivery_timeout_s
        )
        progress = Watched()
        replay = Replay(settings, [Job(entry, DataFile(path, entry))], progress=progress)
        async with serving([replay], host="127.0.0.1", port=0, drain_s=5):
            running = asyncio.ensure_future(replay.run())
            await until(lambda: progress.events >= 5_000 or running.done(), 60)
            await asyncio.to_thread(broker.kill)
            assert not running.done()
            await asyncio.to_thread(broker.start)
            [standing] = await asyncio.wait_for(running, 120)
        assert standing.finished
        assert standing.written == ROWS
        records = await asyncio.to_thread(read_log, broker.bootstrap_servers, entry.feed.topic)
        check(records, ROWS, in_order=delivery_timeout_s >= settings.retry_s)


async def test_a_row_that_kafka_never_takes_ends_the_replay() -> None:
    bridge = ProducerBridge({"bootstrap.servers": "127.0.0.1:1"}, name="test", delivery_timeout_s=0.5)
    sender = Sender(bridge, retry_s=1.0, on_acknowledged=lambda rows: None)
    await sender.send([Ready(number, None, Outgoing("nowhere", None, b"x")) for number in (7, 8)])
    with pytest.raises(NotAcknowledged, match=r"row 7 was not acknowledged for \d s") as failed:
        await asyncio.wait_for(sender.flush(), 30)
    assert failed.value.row == 7
    await bridge.close(0.1)
