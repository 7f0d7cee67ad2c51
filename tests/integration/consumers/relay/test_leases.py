"""Pull subscriptions: events are leased to workers that compete for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import until
from support.worker import Worker, events_of, ids, pulled

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


async def test_events_are_leased_and_acknowledged_in_order_and_do_not_come_again(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 25)
    worker = await pulled(api, feed)
    first = await worker.lease(10)
    second = await worker.lease(100)
    assert ids(first) + ids(second) == sent
    assert first[0]["event"]["data"] == {"id": sent[0]}
    assert {delivery["delivery"] for delivery in first + second} == {1}
    assert await worker.lease(10) == []
    assert await api.has(worker.name, in_flight=25, lag=25, parked=0, delivered=0)
    assert await worker.ack(*first, *second) == {}
    assert await api.has(worker.name, in_flight=0, lag=0, delivered=25)
    assert await worker.lease(10) == []


async def test_an_acknowledgement_that_is_repeated_is_taken_again(api: Api, log: Log) -> None:
    feed = log.feed()
    log.send(feed, 3)
    worker = await pulled(api, feed)
    leased = await worker.lease()
    assert await worker.ack(*leased) == {}
    assert await worker.ack(*leased) == {}
    assert await api.has(worker.name, delivered=3)


async def test_a_lease_that_ends_gives_its_events_to_another_and_its_ack_id_expires(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 2)
    worker = await pulled(api, feed, lease_s=0.3)
    first = await worker.lease()
    again = await worker.lease(wait_s=10, lease_s=600)
    assert ids(again) == ids(first) == sent
    assert [delivery["delivery"] for delivery in again] == [2, 2]
    assert await worker.ack(*first) == {delivery["ack_id"]: "expired" for delivery in first}
    assert await worker.ack(*again) == {}


async def test_extended_in_time_a_lease_goes_on(api: Api, log: Log) -> None:
    feed = log.feed()
    log.send(feed, 2)
    worker = await pulled(api, feed)
    kept, left = await worker.lease(lease_s=3)
    assert await worker.extend(kept, lease_s=600) == {}
    assert ids(await worker.lease(wait_s=10)) == ids([left])
    assert await worker.lease() == []
    assert await worker.ack(kept) == {}
    assert await worker.extend(left, lease_s=30) == {left["ack_id"]: "expired"}


async def test_given_back_an_event_is_there_at_once_or_after_a_delay(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 3)
    worker = await pulled(api, feed)
    leased = await worker.lease()
    loop = asyncio.get_running_loop()
    at_s = loop.time()
    assert await worker.nack(leased[0], delay_s=0.5) == {}
    assert await worker.nack(leased[1]) == {}
    assert await api.has(worker.name, parked=1, in_flight=1, failed=2)
    again = await worker.lease(wait_s=10)
    assert ids(again) == [sent[1]]
    later = await worker.lease(wait_s=10)
    assert ids(later) == [sent[0]]
    assert loop.time() - at_s >= 0.5
    assert await worker.nack(leased[0]) == {leased[0]["ack_id"]: "expired"}
    assert await worker.ack(*again, *later, leased[2]) == {}
    assert await api.has(worker.name, parked=0, in_flight=0, lag=0)


async def test_after_its_last_delivery_an_event_becomes_a_dead_letter(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 2)
    worker = await pulled(api, feed, max_deliveries=2, lease_s=0.2)
    first = await worker.lease(1)
    assert await worker.nack(*first) == {}
    assert ids(await worker.lease(1)) == [sent[0]]
    # Nobody asks for more: it is given up when its second lease ends.
    await until(lambda: api.has(worker.name, in_flight=0, lag=1))
    _, told = await api.call("GET", f"/{worker.name}/undelivered")
    (letter,) = told["dead_letters"]
    assert (letter["event_id"], letter["attempts"]) == (sent[0], 2)
    assert letter["reason"] == "not acknowledged in 2 deliveries"
    assert ids(await worker.lease()) == [sent[1]]


async def test_of_a_key_one_event_is_leased_at_a_time(api: Api, log: Log) -> None:
    feed = log.feed()
    a, b = log.send(feed, 3, key="a"), log.send(feed, 2, key="b")
    worker = await pulled(api, feed, ordering="key")
    first = await worker.lease()
    assert ids(first) == [a[0], b[0]]
    assert await worker.lease() == []
    waiting = asyncio.ensure_future(worker.lease(wait_s=10))
    assert await worker.ack(first[0]) == {}
    assert ids(await waiting) == [a[1]]
    # Given back for later, it still goes before the next of its key.
    assert await worker.nack(first[1], delay_s=0.3) == {}
    assert await worker.lease() == []
    assert ids(await worker.lease(wait_s=10)) == [b[0]]


async def test_long_keys_of_many_events_are_leased_by_one_call(api: Api, log: Log) -> None:
    feed = log.feed()
    for number in range(10_000):
        log.enqueue(feed, b"{}", key=f"{number:064}")
    log.flush()
    worker = await pulled(api, feed, ordering="key")
    assert len(await worker.lease(10_000, wait_s=10)) == 10_000


async def test_order_holds_for_keys_that_are_as_large_as_records(api: Api, log: Log) -> None:
    feed, keys = log.feed(), ["a" * 600_000 + end for end in "bc"]
    sent = [*log.send(feed, 2, key=keys[0]), *log.send(feed, 1, key=keys[1])]
    worker = await pulled(api, feed, ordering="key")
    first, other = await worker.lease()
    assert ids([first, other]) == [sent[0], sent[2]]
    assert await worker.nack(first, delay_s=0.1) == {}
    assert await worker.ack(other) == {}
    (again,) = await worker.lease(wait_s=10)
    assert (ids([again]), again["delivery"]) == ([sent[0]], 2)
    assert await worker.ack(again) == {}
    assert ids(await worker.lease()) == [sent[1]]


async def test_ack_ids_that_mean_nothing_are_refused_one_by_one(api: Api, log: Log) -> None:
    feed = log.feed()
    log.send(feed, 2)
    worker, other = await pulled(api, feed), await pulled(api, feed)
    mine, yours = await worker.lease(1), await other.lease(1)
    odd = [{"ack_id": "nonsense"}, {"ack_id": "é"}, {"ack_id": ""}, *yours]
    assert await worker.ack(*mine, *odd) == {one["ack_id"]: "unknown" for one in odd}
    assert await other.ack(*yours) == {}


async def test_a_seek_voids_leases(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 3)
    worker = await pulled(api, feed)
    leased = await worker.lease()
    await api.seek(worker.name, offset="-1")
    assert await worker.ack(*leased) == {delivery["ack_id"]: "moved" for delivery in leased}
    assert ids(await worker.lease()) == sent


async def test_a_worker_that_waits_goes_on_waiting_while_the_subscription_is_moved(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 3)
    worker = await pulled(api, feed, offset="now")
    waiting = asyncio.ensure_future(worker.lease(wait_s=10))
    await until(lambda: api.has(worker.name, workers_waiting=1))
    await api.seek(worker.name, offset="-1")
    assert ids(await waiting) == sent


async def test_events_below_an_acknowledged_position_are_done_whatever_they_were(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    first = log.send(feed, 4, partition=0, key="a") + log.send(feed, 4, partition=1, key="b")
    worker = await pulled(api, feed, ordering="key", lease_s=60)
    leased = sorted(await worker.lease(), key=lambda delivery: delivery["event"]["partition"])
    assert ids(leased) == [first[0], first[4]]
    assert await worker.nack(leased[0], delay_s=60) == {}
    page, offset = await events_of(api, worker.name, limit=100)
    assert sorted(page) == sorted(first)
    later = log.send(feed, 2, partition=0, key="a")
    await worker.call("ack", offset=offset)
    await until(lambda: api.has(worker.name, parked=0, in_flight=0, lag=len(later)))
    assert await worker.ack(*leased) == {}
    assert ids(await worker.lease()) == later[:1]


async def test_a_page_waits_for_its_first_event(api: Api, log: Log) -> None:
    feed = log.feed()
    worker = await pulled(api, feed, types=["test"])
    assert (await events_of(api, worker.name))[0] == []
    waiting = asyncio.ensure_future(events_of(api, worker.name, wait=10))
    log.put(feed, b"{}", headers=[("ce_id", "x"), ("ce_type", "other"), ("ce_source", "/tests")])
    sent = log.send(feed, 1)
    page, offset = await waiting
    assert page == sent
    await worker.call("ack", offset=offset)
    assert await api.has(worker.name, lag=0)


async def test_workers_that_wait_share_what_comes(api: Api, log: Log) -> None:
    feed = log.feed(partitions=3)
    worker = await pulled(api, feed, offset="now")
    done: list[str] = []
    held: set[str] = set()

    async def work() -> None:
        while len(done) < 2000:
            leased = await worker.lease(7, wait_s=0.2)
            assert held.isdisjoint(ids(leased))
            held.update(ids(leased))
            assert await worker.ack(*leased) == {} if leased else True
            done.extend(ids(leased))

    workers = [asyncio.ensure_future(work()) for _ in range(20)]
    sent: list[str] = []
    for _ in range(20):
        sent += log.send(feed, 100)
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*workers), 60)
    assert Counter(done) == Counter(sent)
    assert await api.has(worker.name, lag=0, in_flight=0)


async def test_a_worker_that_goes_away_while_it_waits_takes_nothing_with_it(api: Api, log: Log) -> None:
    feed = log.feed()
    worker = await pulled(api, feed)
    waiting = asyncio.ensure_future(worker.lease(wait_s=20))
    await until(lambda: api.has(worker.name, workers_waiting=1))
    waiting.cancel()
    await until(lambda: api.has(worker.name, workers_waiting=0))
    sent = log.send(feed, 3)
    taken: list[str] = []

    async def all_taken() -> bool:
        taken.extend(ids(await worker.lease(wait_s=1)))  # the first may have come before the others
        return len(taken) >= len(sent)

    await until(all_taken)
    assert taken == sent


async def test_filters_and_types_hold_for_leases(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 10)
    worker = await pulled(api, feed, filter=f"data.id == '{sent[4]}'")
    assert ids(await worker.lease()) == [sent[4]]
    unwanted = await pulled(api, feed, types=["other"])
    assert await unwanted.lease() == []


async def test_a_paused_subscription_leases_nothing_and_says_so(api: Api, log: Log) -> None:
    feed = log.feed()
    sent = log.send(feed, 1)
    worker = await pulled(api, feed)
    await api.call("POST", f"/{worker.name}/pause")
    await until(lambda: _says(api, worker.name, 409, "paused"))
    await api.call("POST", f"/{worker.name}/resume")
    await until(lambda: _leases(worker, sent))


async def _says(api: Api, name: str, wanted: int, text: str) -> bool:
    code, body = await api.call("POST", f"/{name}/lease")
    return code == wanted and text in body["detail"]


async def _leases(worker: Worker, wanted: list[str]) -> bool:
    code, body = await worker.api.call("POST", f"/{worker.name}/lease", wait_s=1)
    return code == 200 and ids(body["events"]) == wanted


@pytest.mark.parametrize(
    ("verb", "members", "pointer"),
    [
        ("lease", {"max_events": 0}, "/max_events"),
        ("lease", {"wait_s": 21}, "/wait_s"),
        ("lease", {"lease_s": 0}, "/lease_s"),
        ("ack", {}, ""),
        ("ack", {"ack_ids": []}, "/ack_ids"),
        ("ack", {"ack_ids": ["x"], "offset": "-1"}, ""),
        ("nack", {"ack_ids": ["x"], "delay_s": -1}, "/delay_s"),
        ("extend", {"ack_ids": ["x" * 101]}, "/ack_ids/0"),
    ],
)
async def test_a_bad_call_says_what_is_wrong(
    api: Api, shared: Worker, verb: str, members: dict[str, Any], pointer: str
) -> None:
    code, problem = await api.call("POST", f"/{shared.name}/{verb}", **members)
    assert (code, problem["errors"][0]["pointer"]) == (400, pointer)


@pytest.fixture(scope="module")
async def shared(api: Api, log: Log) -> Worker:
    return await pulled(api, log.feed())
