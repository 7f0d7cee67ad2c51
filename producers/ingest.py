"""The writing API: `POST /v1/feeds/{feed}/events`. It answers when Kafka has every event, on all in-sync replicas."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from confluent_kafka import KafkaError

from headrace import metrics
from headrace.access.principal import EVENTS
from headrace.durable.streams import Streams
from headrace.http.problems import Problem, unavailable
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import Ack, Outgoing, ProducerBridge, QueueFull
from headrace.kafka.topics import ensure_topics, keyless_partition
from headrace.openapi.operation import Operation
from headrace.openapi.second_url import EVENTS_URL, STREAM_URL
from headrace.producers.body import read_body
from headrace.producers.idempotency import IdempotencyKeys
from headrace.producers.incoming import Incoming, Parsed, Rejected, cloud_events, idempotency_key, parse
from headrace.producers.operations import events, streams
from headrace.producers.streams import StreamWriting, read_only, unknown
from headrace.schemas.catalogue import Catalogue, Entry
from headrace.schemas.codec import InvalidData
from headrace.schemas.event import to_headers
from headrace.schemas.explain import Fault, escape
from headrace.schemas.feed import holds_dead_letters, record_key
from headrace.settings import IngestSettings

SLICE = 500
"""Events encoded before other requests get the event loop."""

Result = tuple[str, Ack] | Rejected


class Ingest:
    """The part of a service that writes events."""

    def __init__(self, settings: IngestSettings, catalogue: Catalogue, streams: Streams | None = None) -> None:
        """`streams` are those that clients make; without them there are only the feeds of the catalogue."""
        self._settings = settings
        self._catalogue = catalogue
        self._streams = None if streams is None else StreamWriting(settings, streams)
        self._bridge: ProducerBridge | None = None
        self._keys = IdempotencyKeys()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Appending to a feed; making and removing streams, which are feeds under a second name."""
        if self._streams is None:
            return [web.post(EVENTS_URL, self._post)]
        return [
            route
            for path in (EVENTS_URL, STREAM_URL)
            for route in (web.post(path, self._post), web.put(path, self._put), web.delete(path, self._delete))
        ]

    def operations(self) -> Iterable[Operation]:
        """What is to be said of it."""
        return (events.WRITE_EVENTS,) if self._streams is None else (events.WRITE_EVENTS, *streams.OPERATIONS)

    async def start(self) -> None:
        """Connect to Kafka, and make the topics that are missing."""
        settings, kafka = self._settings, self._settings.kafka()
        self._admin = admin_client(kafka)
        specs = [entry.feed.topic_spec() for entry in self._catalogue.values()]
        self._partitions = await ensure_topics(self._admin, specs, replication_factor=settings.replication_factor)
        self._bridge = ProducerBridge(
            kafka,
            name="ingest",
            queue_bytes=settings.queue_bytes,
            delivery_timeout_s=settings.delivery_timeout_s,
        )

    def trouble(self) -> str | None:
        """Why writing would not work now."""
        if self._bridge is None:
            return "writing has not started"
        return self._bridge.trouble()

    async def drain(self) -> None:
        """Nothing here lives longer than its request."""

    async def close(self) -> None:
        """Wait for the last acknowledgements, and leave Kafka."""
        if self._bridge is not None:
            await self._bridge.close(self._settings.drain_s)

    async def _put(self, request: web.Request) -> web.Response:
        return await self._of_clients(request).put(request)

    async def _delete(self, request: web.Request) -> web.Response:
        return await self._of_clients(request).delete(request)

    def _of_clients(self, request: web.Request) -> StreamWriting:
        """Those who write streams; raises `Problem` 405 for a feed that a file defines."""
        assert self._streams is not None
        if (feed := request.match_info["feed"]) in self._catalogue:
            raise read_only(feed)
        return self._streams

    async def _post(self, request: web.Request) -> web.Response:
        feed = request.match_info["feed"]
        if self._streams is not None and feed not in self._catalogue:
            return await self._streams.post(request)
        entry = self._entry(feed)
        _refuse_headers_of_streams(request, feed)
        body = await read_body(request, self._settings.max_body_bytes)
        parsed = parse(request.headers, request.headers.get("Content-Type", ""), body, entry)
        key = idempotency_key(request.headers)
        with contextlib.nullcontext() if key is None else self._keys.hold(entry.feed.name, key, body):
            results = await self._write(entry, parsed)
            _count(entry.feed.name, results)
            return answer(results)

    async def publish(self, feed: str, events: list[Any]) -> list[dict[str, Any]]:
        """Write CloudEvents that did not come by POST; what became of each, as POST would answer.

        Raises `Problem` where none was written, `QueueFull`, `RegistryUnavailable`.
        """
        entry = self._entry(feed)
        results = await self._write(entry, cloud_events(events, entry))
        _count(feed, results)
        return told(results)

    async def append(self, stream: str, messages: list[Any]) -> str:
        """Append JSON values that did not come by POST to a stream, all or none; the offset token after them.

        Raises `Problem`, `QueueFull`, `KafkaUnavailable`.
        """
        if stream in self._catalogue:
            raise Problem(HTTPStatus.BAD_REQUEST, f"{stream} is a feed of events, no stream: publish events to it.")
        if self._streams is None:
            raise unknown(stream)
        return await self._streams.append(stream, messages)

    def _entry(self, feed: str) -> Entry:
        entry = self._catalogue.get(feed)
        if entry is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"No feed of a file is called {feed}; GET /v1/feeds lists them. A stream takes messages.",
            )
        if holds_dead_letters(feed):
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED, "Dead letters are written by Headrace alone.", headers={"Allow": "GET"}
            )
        return entry

    async def _write(self, entry: Entry, parsed: Parsed) -> list[Result]:
        """Write the good ones in their order; the result of each event, in the order of the request."""
        assert self._bridge is not None
        encoded: list[Outgoing | Rejected] = []
        for index, item in enumerate(parsed):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            encoded.append(self._encode(entry, item) if isinstance(item, Incoming) else item)
        outgoing = [record for record in encoded if isinstance(record, Outgoing)]
        try:
            acknowledged = iter(await self._bridge.send(outgoing))
        except QueueFull:
            metrics.events_refused.labels(entry.feed.name, "queue_full").inc(len(outgoing))
            raise
        results: list[Result] = []
        written_bytes = 0
        for item, record in zip(parsed, encoded, strict=True):
            if isinstance(record, Rejected):
                results.append(record)
                continue
            assert isinstance(item, Incoming)
            verdict = next(acknowledged)
            if isinstance(verdict, Ack):
                written_bytes += len(record.value or b"")
                results.append((item.event.id, verdict))
            else:
                results.append(_undelivered(item.event.id, verdict))
        metrics.bytes_in.labels(entry.feed.name, "ingest").inc(written_bytes)
        return results

    def _encode(self, entry: Entry, item: Incoming) -> Outgoing | Rejected:
        feed, codec = entry.feed, entry.codec
        try:
            value = item.value if item.value is not None else codec.encode(item.data)
        except InvalidData as error:
            faults = [Fault(item.at + fault.pointer, fault.detail) for fault in error.faults]
            return Rejected(HTTPStatus.BAD_REQUEST, faults, item.event.id)
        if len(value) > self._settings.max_event_bytes:
            fault = Fault(item.at, f"is {len(value)} bytes; at most {self._settings.max_event_bytes} are taken")
            return Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [fault], item.event.id)
        found = item.data.get(feed.key) if feed.key is not None and isinstance(item.data, dict) else None
        if found is None and feed.compacted:
            fault = Fault(f"{item.at}/{escape(feed.key or '')}", "is the key, and a compacted feed needs one")
            return Rejected(HTTPStatus.BAD_REQUEST, [fault], item.event.id)
        key = record_key(found if feed.key is not None else item.partition_key)
        partition = -1 if key is not None else keyless_partition(item.event.id, self._partitions[feed.topic])
        headers = to_headers(item.event, codec.content_type)
        return Outgoing(feed.topic, key, value, headers, time.time_ns() // 1_000_000, partition)


def _refuse_headers_of_streams(request: web.Request, feed: str) -> None:
    """Raise `Problem` 400 where a request relies on what only streams do."""
    for name in ("Producer-Id", "Producer-Epoch", "Producer-Seq", "Stream-Seq", "Stream-Closed"):
        if name in request.headers:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"{name} is for streams that were made by PUT, and {feed} is defined by a file: here an event's id, or "
                "an Idempotency-Key, makes a retry harmless.",
            )


def _undelivered(event_id: str, error: KafkaError) -> Rejected:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [Fault("", "is larger than Kafka takes")], event_id)
    detail = f"was not acknowledged by Kafka ({error.name()}); it may have been written: retry with the same id"
    return Rejected(HTTPStatus.SERVICE_UNAVAILABLE, [Fault("", detail)], event_id)


def _count(feed: str, results: list[Result]) -> None:
    rejected = [result for result in results if isinstance(result, Rejected)]
    metrics.events_in.labels(feed, "ingest").inc(len(results) - len(rejected))
    reasons = {400: "invalid", 413: "too_large", 503: "kafka"}
    for result in rejected:
        metrics.events_refused.labels(feed, reasons[result.status]).inc()


def answer(results: list[Result]) -> web.Response:
    """200 where all were written, 207 where some were, else a problem with the reasons of each."""
    rejected = any(isinstance(result, Rejected) for result in results)
    body = orjson.dumps({"events": told(results)})
    made = web.Response(status=207 if rejected else 200, body=body, content_type="application/json")
    made[EVENTS] = len(results)
    return made


def told(results: list[Result]) -> list[dict[str, Any]]:
    """What became of each event, with a status where some were not written; raises `Problem` where none was."""
    rejected = [result for result in results if isinstance(result, Rejected)]
    if len(rejected) == len(results):
        raise _problem(rejected)
    return [_told(result, with_status=bool(rejected)) for result in results]


def _problem(rejected: list[Rejected]) -> Problem:
    errors = [
        {"index": index, "pointer": fault.pointer, "detail": fault.detail}
        for index, result in enumerate(rejected)
        for fault in result.faults
    ]
    statuses = {result.status for result in rejected}
    if HTTPStatus.SERVICE_UNAVAILABLE in statuses:
        problem = unavailable("Kafka did not acknowledge the events: retry with the same ids.", 2)
        problem.extensions["errors"] = errors
        return problem
    status = statuses.pop() if len(statuses) == 1 else HTTPStatus.BAD_REQUEST
    return Problem(status, "Nothing was written; see errors.", errors=errors)


def _told(result: Result, *, with_status: bool) -> dict[str, Any]:
    if isinstance(result, Rejected):
        errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in result.faults]
        return {"status": int(result.status), "id": result.id, "detail": result.detail, "errors": errors}
    event_id, ack = result
    told = {"id": event_id, "partition": ack.partition, "offset": ack.offset}
    return {"status": 200, **told} if with_status else told
