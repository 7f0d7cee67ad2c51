"""What a client is told while Kafka is away or behind, and that writing goes on afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
from support.records import records_of
from support.running import service
from support.waiting import until
from support.writer import write_feeds

from headrace.broker import EmbeddedBroker
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import IngestSettings


async def test_kafka_standing_still_is_503_within_the_time_out_and_then_writing_goes_on(tmp_path: Path) -> None:
    feeds = write_feeds(tmp_path)
    with EmbeddedBroker(heap_mb=256) as broker:
        assert broker.pid is not None
        limits: Any = {"delivery_timeout_s": 2, "queue_bytes": 20_000, "replication_factor": 1}
        settings = IngestSettings(bootstrap_servers=broker.bootstrap_servers, feeds=tmp_path, **limits)
        ingest = Ingest(settings, load_catalogue(settings))
        async with service(ingest) as url, aiohttp.ClientSession() as http:
            path = f"{url}/v1/feeds/{feeds['json']}/events"

            async def post(event: Any) -> tuple[int, Any, Any]:
                async with http.post(path, json=event) as answer:
                    return answer.status, await answer.json(content_type=None), answer.headers

            async def written() -> bool:
                return (await post({"when": "before"}))[0] == 200

            await until(written)
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                started = time.monotonic()
                waiting = asyncio.ensure_future(post({"when": "during", "x": "x" * 15_000}))
                await until(lambda: ingest._bridge is not None and ingest._bridge.waiting_bytes > 15_000)
                status, problem, headers = await post({"when": "refused", "x": "x" * 15_000})
                assert (status, headers["Retry-After"]) == (503, "1")
                assert "Nothing was written" in problem["detail"]
                status, problem, headers = await waiting
                assert (status, headers["Retry-After"]) == (503, "2")
                assert "may have been written" in problem["errors"][0]["detail"]
                assert time.monotonic() - started < 8
            finally:
                os.kill(broker.pid, signal.SIGCONT)

            async def again() -> bool:
                return (await post({"when": "after"}))[0] == 200

            await until(again, 60)
            values = [r.value() or b"" for r in records_of(broker.bootstrap_servers, feeds["json"], 2)]
            assert any(b'"after"' in value for value in values)
            assert not any(b'"refused"' in value for value in values)


async def test_a_request_whose_queue_is_full_leaves_its_idempotency_key_free(tmp_path: Path, kafka: str) -> None:
    feeds = write_feeds(tmp_path)
    settings = IngestSettings(bootstrap_servers=kafka, feeds=tmp_path, queue_bytes=20_000)
    async with service(Ingest(settings, load_catalogue(settings))) as url, aiohttp.ClientSession() as http:
        path = f"{url}/v1/feeds/{feeds['json']}/events"

        async def post(key: str) -> int:
            body = {"key": key, "x": "x" * 15_000}
            async with http.post(path, json=body, headers={"Idempotency-Key": key}) as answer:
                return answer.status

        keys = [f"k{n}" for n in range(50)]
        first = await asyncio.gather(*(post(key) for key in keys))
        assert set(first) == {200, 503}
        for key, status in zip(keys, first, strict=True):
            if status == 503:
                assert await post(key) == 200
        values = [r.value() or b"" for r in records_of(kafka, feeds["json"], 50)]
        assert len(values) == 50
