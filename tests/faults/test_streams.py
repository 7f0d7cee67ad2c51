"""Writing a stream through two gateways while they are killed and frozen: each message once, and in order."""

from __future__ import annotations

import asyncio
import signal
from http import HTTPStatus

import aiohttp
import pytest
from faults.services import Service
from faults.stage import PATIENCE_S, Stage
from support.waiting import until

pytestmark = pytest.mark.faults

NAME = "ledger"
WRITERS = 3
MORE = 5
"""Messages that every writer must have had answered between two faults."""
REQUEST_S = 3.0


class Writer:
    """An idempotent producer: numbers, each until it is answered, through one gateway and then the other."""

    def __init__(self, http: aiohttp.ClientSession, gateways: list[Service], who: int) -> None:
        self.who = who
        self.told = 0
        self._http = http
        self._gateways = gateways
        self._attempts = who
        self._stopping = False
        self._running = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Finish the number that is being written; raises what went wrong."""
        self._stopping = True
        await self._running

    async def _run(self) -> None:
        while not self._stopping:
            await until(self._write, PATIENCE_S)
            self.told += 1

    async def _write(self) -> bool:
        self._attempts += 1
        url = url_at(self._gateways[self._attempts % 2])
        headers = {"Producer-Id": f"w{self.who}", "Producer-Epoch": "0", "Producer-Seq": str(self.told)}
        try:
            # What a frozen gateway was asked it may still carry out when it wakes up.
            async with (
                asyncio.timeout(REQUEST_S),
                self._http.post(url, json=[[self.who, self.told]], headers=headers) as answer,
            ):
                if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    return False
                assert answer.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT), await answer.text()
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False


def url_at(gateway: Service) -> str:
    return f"{gateway.url}/v1/stream/{NAME}"


async def progress(stage: Stage, writers: list[Writer]) -> None:
    """Wait until every writer has had some more messages answered."""
    reached = [writer.told + MORE for writer in writers]
    await stage.until(lambda: all(writer.told >= count for writer, count in zip(writers, reached, strict=True)))


async def test_each_message_is_there_once_and_in_the_order_of_its_writer(stage: Stage, rounds: int) -> None:
    gateways = [stage.service("gateway"), stage.service("gateway-2")]
    await stage.ready()
    async with aiohttp.ClientSession() as http:
        async with http.put(url_at(gateways[0]), headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == HTTPStatus.CREATED
        writers = [Writer(http, gateways, who) for who in range(WRITERS)]
        for _ in range(rounds):
            for victim in gateways:
                await progress(stage, writers)
                await victim.kill()
                await progress(stage, writers)
                await victim.ready()
                victim.send(signal.SIGSTOP)
                # The other one takes over; this one wakes up in the middle of what it had begun.
                await progress(stage, writers)
                victim.send(signal.SIGCONT)
        await progress(stage, writers)
        await asyncio.gather(*(writer.stop() for writer in writers))
        async with http.post(url_at(gateways[1]), headers={"Stream-Closed": "true"}) as answer:
            assert answer.status == HTTPStatus.NO_CONTENT
        for gateway in gateways:
            async with http.get(url_at(gateway), params={"limit": "10000"}) as answer:
                assert answer.headers["Stream-Closed"] == "true"
                read = await answer.json()
            for writer in writers:
                assert [n for who, n in read if who == writer.who] == list(range(writer.told))
            assert len(read) == sum(writer.told for writer in writers)
    await stage.stop()
