"""Pulling page by page: history as JSON, and the newest events, which are in memory, as JSON and as Avro."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Coroutine
from io import BytesIO

import fastavro
import uvloop
from confluent_kafka import Producer

from benchmarks.connection import Connection, get
from benchmarks.events import FEED, consume, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, service
from headrace.producers.replay.flights import DEPARTURES, departures
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import Settings

EVENTS = 200_000
PAGE = 1000
CLIENTS = 4
NEWEST = 20_000
"""Events in memory, which each client pulls `ROUNDS` times."""
ROUNDS = 10
JSON, AVRO = "application/json", "application/avro"


def run(bootstrap_servers: str) -> list[Figure]:
    """Events pulled a second."""
    names = [f"bench-{n}" for n in range(CLIENTS)]
    for name in names:
        make_topic(bootstrap_servers, name)
        produce(bootstrap_servers, name, EVENTS)
    make_topic(bootstrap_servers, DEPARTURES)
    librdkafka = consume(bootstrap_servers, names[0], EVENTS)
    with feeds(**dict.fromkeys(names, FEED)) as environ, service("serve", bootstrap_servers, **environ) as port:
        found = uvloop.run(_measure(bootstrap_servers, port, names))
    return [Figure(what, per_s, "librdkafka alone", librdkafka) for what, per_s in found.items()]


async def _measure(bootstrap_servers: str, port: int, names: list[str]) -> dict[str, float]:
    found = {"pull, JSON pages of 1,000, one client": await _per_s(JSON, _pull(port, names[0], "-1", JSON))}
    # Each a feed of its own: what is read for one is of no use to the others.
    clients = [_pull(port, name, "-1", JSON) for name in names]
    found[f"pull, JSON pages of 1,000, {CLIENTS} clients"] = await _per_s(JSON, *clients)
    start = await _tail(port, names[0])
    await asyncio.to_thread(produce, bootstrap_servers, names[0], NEWEST)
    found |= await _newest(port, names[0], start, JSON)
    start = await _tail(port, DEPARTURES)
    await asyncio.to_thread(_produce_departures, bootstrap_servers)
    return found | await _newest(port, DEPARTURES, start, AVRO)


async def _newest(port: int, feed: str, start: str, media_type: str) -> dict[str, float]:
    form = media_type.removeprefix("application/")
    first = await _per_s(media_type, _pull(port, feed, start, media_type))
    clients = [_pull(port, feed, start, media_type, ROUNDS) for _ in range(CLIENTS)]
    return {
        f"the newest, {form}, for the first time": first,
        f"the newest, {form}, {CLIENTS} clients": await _per_s(media_type, *clients),
    }


async def _per_s(media_type: str, *pulls: Coroutine[None, None, list[bytes]]) -> float:
    started = time.perf_counter()
    pages = itertools.chain(*await asyncio.gather(*pulls))
    seconds = time.perf_counter() - started
    return sum(_count(page, media_type) for page in pages) / seconds


def _count(page: bytes, media_type: str) -> int:
    if media_type == JSON:
        return page.count(b'"specversion"')
    return sum(block.num_records for block in fastavro.block_reader(BytesIO(page)))


async def _pull(port: int, feed: str, start: str, media_type: str, rounds: int = 1) -> list[bytes]:
    """Pull from a position to the tail, as often as said; gives the pages."""
    connection = await Connection.open(port)
    pages: list[bytes] = []
    for _ in range(rounds):
        offset, at_tail = start, False
        while not at_tail:
            path = f"/v1/feeds/{feed}/events?limit={PAGE}&offset={offset}"
            status, head, body = await connection.exchange(get(path, Accept=media_type))
            assert status == 200, body
            pages.append(body)
            offset, at_tail = _next_offset(head), b"Stream-Up-To-Date" in head
    connection.close()
    return pages


async def _tail(port: int, feed: str) -> str:
    connection = await Connection.open(port)
    status, head, body = await connection.exchange(get(f"/v1/feeds/{feed}/events?offset=now"))
    assert status == 200, body
    connection.close()
    return _next_offset(head)


def _next_offset(head: bytes) -> str:
    at = head.index(b"Stream-Next-Offset: ") + 20
    return head[at : head.index(b"\r", at)].decode()


def _produce_departures(bootstrap_servers: str) -> None:
    """Real flights, as the replay writes them."""
    codec = load_catalogue(Settings())[DEPARTURES].codec
    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "linger.ms": 5})
    for row in itertools.islice(departures().rows(0), NEWEST):
        producer.produce(DEPARTURES, codec.encode(row.data), row.data["tailnum"])
        producer.poll(0)
    assert producer.flush(60) == 0
