"""The log of a stream, as those read it who only follow the table of streams."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.consumers.stream_logs import StreamLogs
from headrace.durable.feeds import Feeds
from headrace.durable.table import StreamTable
from headrace.kafka.admin import admin_client
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import RelaySettings


async def test_that_of_a_stream_that_was_made_again_is_not_the_latest_and_another_is_opened(
    gateway: Any, kafka: str
) -> None:
    settings = RelaySettings(bootstrap_servers=kafka)
    admin, catalogue = admin_client(settings.kafka()), load_catalogue(settings)
    table = StreamTable(settings, admin)
    await table.load()
    feeds = Feeds(catalogue, table)
    tail = Tail(settings.kafka(), admin, feeds, ring_bytes=2**20, ring_age_s=60.0, history_consumers=1)
    logs = StreamLogs(tail, catalogue, table)
    try:
        name = await gateway.made(body=b"old")
        old = await logs.log(name)
        assert await logs.is_latest(old)
        await gateway.call("DELETE", name)
        assert not await logs.is_latest(old)
        with pytest.raises(UnknownFeed):
            await logs.log(name)
        await gateway.call("PUT", name, b"new", Content_Type="text/plain")
        assert not await logs.is_latest(old)
        new = await logs.log(name)
        assert await logs.is_latest(new)
        assert [record.message.value() for record in (await new.read((0,), 10)).records] == [b"new"]
    finally:
        await logs.close()
        await tail.close()
        await table.close()
