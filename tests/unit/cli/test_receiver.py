from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest
from support.waiting import until

from headrace.cli import receiver as module
from headrace.cli.receiver import Arrival, Receiver
from headrace.signing import generate_secret, sign

SECRET = generate_secret()


def signed(message_id: str, body: bytes, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    timestamp_s = int(time.time()) - age_s
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(secret, message_id, timestamp_s, body),
    }


async def test_a_push_that_comes_before_the_secret_is_known_waits_for_it() -> None:
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    async with receiver.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:

        async def push() -> int:
            async with session.post(f"http://127.0.0.1:{port}/", headers=signed("m", b"{}"), data=b"{}") as answer:
                return answer.status

        pushed = asyncio.create_task(push())
        # Whoever gives up must not take the secret with them.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(push(), 0.2)
        assert not pushed.done()
        receiver.trust(SECRET)
        assert await pushed == 204
        await until(lambda: arrivals)
    assert [arrival.refused for arrival in arrivals] == [None] * len(arrivals)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: signed("m", b"other"), "no signature fits"),
        (lambda: signed("m", b"{}", generate_secret()), "no signature fits"),
        (lambda: signed("m", b"{}") | {"webhook-id": "n"}, "no signature fits"),
        (lambda: signed("m", b"{}", age_s=3600), " s old; at most 300 s"),
        (lambda: signed("m", b"{}") | {"webhook-timestamp": "9" * 5000}, "timestamp"),
        (lambda: signed("m", b"{}") | {"webhook-signature": "v1,\xff"}, "no signature fits"),
        (lambda: {"webhook-id": "m"}, "webhook-timestamp is missing"),
    ],
)
async def test_what_is_not_signed_as_it_should_be_is_refused_with_the_reason(
    make: Callable[[], dict[str, str]], reason: str
) -> None:
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    receiver.trust(SECRET)
    async with (
        receiver.listening("127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/", headers=make(), data=b"{}") as answer,
    ):
        assert answer.status == 401
        assert reason in await answer.text()
    assert (receiver.counts.events, receiver.counts.refused) == (0, 1)
    assert reason in (arrivals[0].refused or "")


async def test_repeats_are_marked_within_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_IDS", 2)
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    receiver.trust(SECRET)
    async with receiver.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        for name in ("a", "a", "b", "c", "a"):
            headers = signed(name, b"not json")
            async with session.post(f"http://127.0.0.1:{port}/{name}", headers=headers, data=b"not json") as answer:
                assert answer.status == 204
    assert [arrival.repeat for arrival in arrivals] == [False, True, False, False, False]
    assert (receiver.counts.events, receiver.counts.repeats) == (4, 1)
    assert arrivals[0].event is None
