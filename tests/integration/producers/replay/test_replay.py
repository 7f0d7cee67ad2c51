"""Replays into a real Kafka: what arrives, where they stop, and where they go on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from integration.producers.replay.conftest import Log, NewFeed, Watched
from support.waiting import until

from headrace.http.service import serving
from headrace.producers.replay.data_file import DataFile
from headrace.producers.replay.flights import DEPARTURES, departures, references
from headrace.producers.replay.progress import Lines
from headrace.producers.replay.replay import Job, Replay, ReplayFailed, Standing
from headrace.schemas.catalogue import Entry, load_catalogue
from headrace.settings import Settings, SourceSettings


async def run(
    settings: SourceSettings, *jobs: Job, restart: bool = False, skip_invalid: bool = False
) -> list[Standing]:
    replay = Replay(settings, jobs, progress=Lines(), restart=restart, skip_invalid=skip_invalid)
    async with serving([replay], host="127.0.0.1", port=0, drain_s=5):
        return await replay.run()


async def run_to(settings: SourceSettings, job: Job, events: int) -> Standing:
    """Stop cleanly once so many events are acknowledged."""
    progress = Watched()
    replay = Replay(settings, [job], progress=progress)
    async with serving([replay], host="127.0.0.1", port=0, drain_s=5):
        running = asyncio.ensure_future(replay.run())
        await until(lambda: progress.events >= events or running.done())
        replay.stop()
        [standing] = await running
    return standing


def ndjson(path: Path, rows: int) -> Path:
    path.write_bytes(b"".join(orjson.dumps({"who": f"k{n % 50}", "n": n}) + b"\n" for n in range(1, rows + 1)))
    return path


def job(entry: Entry, path: Path, *, limit: int | None = None) -> Job:
    return Job(entry, DataFile(path, entry), limit=limit)


async def test_rows_become_events_with_their_own_ids_and_times(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry = new_feed(partitions=3)
    path = tmp_path / "people.csv"
    path.write_text("id,who,at\na,me,2013-01-01T00:00:00Z\nb,you,2013-01-02T00:00:00Z\nc,me,2013-01-03T00:00:00Z\n")
    before_ms = time.time_ns() // 1_000_000
    source = DataFile(path, entry, id_field="id", time_field="at")
    [standing] = await run(settings, Job(entry, source))
    assert standing == Standing(entry.feed.name, row=3, written=3, finished=True)
    records = {record.headers["ce_id"]: record for record in log(entry.feed.topic)}
    assert set(records) == {"a", "b", "c"}
    assert records["a"].partition == records["c"].partition
    assert orjson.loads(records["b"].value) == {"id": "b", "who": "you", "at": "2013-01-02T00:00:00Z"}
    assert records["b"].key == "you"
    assert records["b"].timestamp_ms >= before_ms
    assert (
        records["b"].headers.items()
        >= {
            "ce_specversion": "1.0",
            "ce_type": entry.feed.event_type,
            "ce_source": source.uri,
            "ce_time": "2013-01-02T00:00:00.000Z",
            "content-type": "application/json",
            "ce_replayrow": "2",
        }.items()
    )


async def test_what_was_replayed_is_not_replayed_again_unless_asked(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(), ndjson(tmp_path / "a.ndjson", 1_200)
    await run(settings, job(entry, path))
    [again] = await run(settings, job(entry, path))
    assert again == Standing(entry.feed.name, row=1_200, finished=True)
    [anew] = await run(settings, job(entry, path), restart=True)
    assert anew.written == 1_200
    ids = [record.headers["ce_id"] for record in log(entry.feed.topic)]
    assert ids[:1_200] == ids[1_200:]
    assert len(set(ids)) == 1_200


async def test_a_clean_stop_is_gone_on_from_without_repeats(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(partitions=4), ndjson(tmp_path / "a.ndjson", 40_000)
    stopped = await run_to(settings, job(entry, path), 2_000)
    assert 2_000 <= stopped.row == stopped.written < 40_000
    assert not stopped.finished
    [rest] = await run(settings, job(entry, path))
    assert rest.written == 40_000 - stopped.written
    assert sorted(record.row for record in log(entry.feed.topic)) == list(range(1, 40_001))


async def test_a_restarted_run_that_is_broken_off_is_the_one_that_goes_on(
    settings: SourceSettings, new_feed: NewFeed, tmp_path: Path
) -> None:
    entry, path = new_feed(partitions=2), ndjson(tmp_path / "a.ndjson", 3_000)
    await run(settings, job(entry, path))
    await run(settings, job(entry, path, limit=1_000), restart=True)
    [rest] = await run(settings, job(entry, path))
    assert rest.written == 2_000


async def test_events_of_others_in_the_feed_do_not_hide_where_a_replay_stands(
    settings: SourceSettings, new_feed: NewFeed, kafka: str, tmp_path: Path
) -> None:
    entry, path = new_feed(partitions=2), ndjson(tmp_path / "a.ndjson", 3_000)
    await run(settings, job(entry, path, limit=2_500))
    other = ndjson(tmp_path / "b.ndjson", 10)
    await run(settings, job(entry, other))
    producer = Producer({"bootstrap.servers": kafka, "max.in.flight": 1})
    for n in range(20_000):
        producer.produce(entry.feed.topic, b"{}", str(n).encode())
    producer.flush()
    [rest] = await run(settings, job(entry, path))
    assert rest.written == 500


async def test_a_bad_row_stops_the_replay_behind_the_rows_before_it(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(), tmp_path / "a.ndjson"
    path.write_bytes(b'{"who":"a"}\n' * 700 + b"{bad}\n" + b'{"who":"b"}\n')
    with pytest.raises(ReplayFailed, match=r"a\.ndjson, line 701: not JSON: .*--skip-invalid") as failed:
        await run(settings, job(entry, path))
    assert failed.value.standing == Standing(entry.feed.name, row=700, written=700)
    assert len(log(entry.feed.topic)) == 700


async def test_bad_rows_can_be_left_out_and_are_no_holes_to_come_back_to(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(partitions=3), tmp_path / "a.ndjson"
    path.write_bytes(b"".join(b"{bad}\n" if n % 7 == 0 else b'{"who":"%d"}\n' % n for n in range(1, 2_101)))
    [first] = await run(settings, job(entry, path, limit=1_050), skip_invalid=True)
    assert (first.written, first.skipped, first.row) == (900, 150, 1_050)
    await run(settings, job(entry, path), skip_invalid=True)
    rows = sorted(record.row for record in log(entry.feed.topic))
    assert rows == [n for n in range(1, 2_101) if n % 7]


async def test_an_event_larger_than_the_limit_does_not_fit(
    settings: SourceSettings, new_feed: NewFeed, tmp_path: Path
) -> None:
    entry, path = new_feed(), tmp_path / "a.ndjson"
    path.write_bytes(orjson.dumps({"who": "x" * 2_000}))
    with pytest.raises(ReplayFailed, match=r"line 1: is 2010 bytes; at most 1000 are taken"):
        await run(settings.model_copy(update={"max_event_bytes": 1_000}), job(entry, path))


async def test_events_come_at_the_speed_of_their_times(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(), tmp_path / "a.ndjson"
    path.write_bytes(
        b"".join(orjson.dumps({"at": f"2013-01-01T00:{minute:02}:00Z"}) + b"\n" for minute in (0, 1, 1, 5))
    )
    await run(settings, Job(entry, DataFile(path, entry, time_field="at"), speed=300))
    first, second, third, last = (record.timestamp_ms for record in log(entry.feed.topic))
    assert second - first >= 199
    assert third - second < 100
    assert last - first >= 999


async def test_more_waits_than_the_queue_holds_and_nothing_is_dropped(
    settings: SourceSettings, new_feed: NewFeed, log: Log, tmp_path: Path
) -> None:
    entry, path = new_feed(partitions=2), ndjson(tmp_path / "a.ndjson", 5_000)
    [standing] = await run(settings.model_copy(update={"queue_bytes": 150_000}), job(entry, path))
    assert standing.written == 5_000
    assert sorted(record.row for record in log(entry.feed.topic)) == list(range(1, 5_001))


async def test_the_flights_come_after_all_their_reference_data(
    settings: SourceSettings, log: Log, new_feed: NewFeed
) -> None:
    catalogue = load_catalogue(Settings())
    suffix = new_feed().feed.name

    def fresh(name: str) -> Entry:
        entry = catalogue[name]
        return replace(entry, feed=replace(entry.feed, topic=f"{name}-{suffix}"))

    jobs = [Job(fresh(name), table) for name, table in references().items()]
    jobs.append(Job(fresh(DEPARTURES), departures(), limit=2_000))
    standings = await run(settings, *jobs)
    assert [standing.written for standing in standings] == [16, 1_458, 3_322, 26_115, 2_000]
    flights = log(jobs[-1].entry.feed.topic)
    codec = jobs[-1].entry.codec
    values = {record.headers["ce_id"]: codec.decode(record.value) for record in flights}
    assert len(values) == 2_000
    assert values["nycflights13-UA-1545-EWR-2013-01-01-0515"]["scheduled_departure"].isoformat() == (
        "2013-01-01T10:15:00+00:00"
    )
    assert {record.key for record in flights} == {value["tailnum"] for value in values.values()}
    begun_ms = min(record.timestamp_ms for record in flights)
    assert all(record.timestamp_ms <= begun_ms for reference in jobs[:-1] for record in log(reference.entry.feed.topic))
