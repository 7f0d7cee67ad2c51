"""Pull subscriptions that nobody asks come to rest, and go on from where they stood."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY
from support.waiting import until
from support.worker import ids, pulled

from headrace.consumers.relay import puller
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.resting import Resting

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each subscription came to rest, its start included; they do so at the first look."""
    counted: Counter[str] = Counter()

    begin = Resting.__init__

    def noted(self: Resting, subscription: Subscription, *arguments: Any) -> None:
        begin(self, subscription, *arguments)
        counted[subscription.id] += 1

    monkeypatch.setattr(puller, "IDLE_S", 0.0)
    monkeypatch.setattr(Resting, "__init__", noted)
    return counted


def lag(name: str, feed: str) -> float | None:
    return REGISTRY.get_sample_value("headrace_relay_lag_events", {"subscription": name, "feed": feed})


async def test_it_goes_on_from_where_it_stood(rests: Counter[str], relay: str, api: Api, log: Log) -> None:
    feed = log.feed(partitions=3)
    sent = log.send(feed, 20)
    worker = await pulled(api, feed)
    leased = await worker.lease(12)
    await worker.ack(*leased)
    before = rests[worker.name]
    await until(lambda: rests[worker.name] > before)
    assert lag(worker.name, feed) == 8
    sent += log.send(feed, 5)
    await until(lambda: lag(worker.name, feed) == 13)
    rest = await worker.lease(100, wait_s=5)
    assert sorted(ids(leased) + ids(rest)) == sorted(sent)
    assert await worker.ack(*leased) == {}
    assert await api.has(worker.name, delivered=12, in_flight=13)


async def test_what_is_leased_or_waits_for_its_time_keeps_it_awake(
    rests: Counter[str], relay: str, api: Api, log: Log
) -> None:
    feed = log.feed()
    sent = log.send(feed, 3)
    worker, other = await pulled(api, feed), await pulled(api, feed)
    leased = await worker.lease(2)
    await worker.nack(leased[0], delay_s=600)
    await worker.ack(leased[1])
    before = rests[worker.name]
    # Looks at which the other one comes to rest are looks at this one, too.
    for _ in range(3):
        seen = rests[other.name]
        await other.ack(*await other.lease(1))
        await until(lambda: rests[other.name] > seen)  # noqa: B023 - awaited in the same round
    assert rests[worker.name] == before
    assert ids(await worker.lease()) == sent[2:]


async def test_moved_and_named_while_it_rests(rests: Counter[str], relay: str, api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 4)
    worker = await pulled(api, feed)
    await worker.ack(*await worker.lease())
    await until(lambda: rests[worker.name] >= 2)
    async with api.session.put(f"{api.url}/v1/subscriptions/{worker.name}/snapshots/done") as answer:
        assert answer.status == 201
    await api.seek(worker.name, offset="-1")
    await until(lambda: rests[worker.name] >= 4)
    assert ids(await worker.lease()) == sent
    await api.seek(worker.name, snapshot="done")
    assert await worker.lease() == []
