"""Delivering once more, asking what was never delivered, and catching up by pull."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from support.receiver import receiver, status
from support.waiting import until

from headrace.consumers.relay import replay

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


async def has(api: Api, name: str, **wanted: object) -> bool:
    found = await api.status(name)
    return all(found.get(member) == value for member, value in wanted.items())


async def redeliver(api: Api, name: str, **members: Any) -> int:
    code, body = await api.call("POST", f"/{name}/redeliver", **members)
    assert code == 202, body
    return int(body["events"])


async def test_one_event_is_delivered_once_more_under_its_id(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1")
        ids = log.send(feed, 5, partition=1)
        await until(lambda: has(api, created["id"], delivered=5))
        assert await redeliver(api, created["id"], partition=1, offset=3) == 1
        await until(lambda: has(api, created["id"], delivered=6, parked=0, lag=0))
        assert sorted(receiving.ids) == sorted([*ids, ids[3]])
        code, _ = await api.call("POST", f"/{created['id']}/redeliver", partition=1, offset=99)
        assert code == 404


async def test_one_is_delivered_once_more_though_its_subscription_was_changed_meanwhile(
    api: Api, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        name = (await api.create(feed, receiving.url))["id"]
        (event_id,) = log.send(feed, 1)
        await until(lambda: has(api, name, lag=0, delivered=1))
        read = replay.one

        async def changed_meanwhile(runner: Any, partition: int, offset: int) -> Any:
            found = await read(runner, partition, offset)
            await api.call("POST", f"/{name}/pause")
            await api.call("POST", f"/{name}/resume")
            await until(lambda: not runner._running)
            return found

        monkeypatch.setattr(replay, "one", changed_meanwhile)
        assert await redeliver(api, name, partition=0, offset=0) == 1
        await until(lambda: receiving.ids == [event_id, event_id])


async def test_a_range_is_delivered_once_more_where_the_filter_wants_it(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1", filter="data.id.endsWith('0') || data.id == 'x'")
        early = log.send(feed, 20, timestamp_ms=1_700_000_000_000)
        late = log.send(feed, 20, timestamp_ms=1_700_000_100_000)
        wanted = [i for i in early + late if i.endswith("0")]
        await until(lambda: has(api, created["id"], delivered=len(wanted)))
        receiving.deliveries.clear()
        again = [i for i in late if i.endswith("0")]
        assert await redeliver(api, created["id"], from_="2023-11-14T22:14:00Z") == len(again)
        await until(lambda: has(api, created["id"], delivered=len(wanted) + len(again), parked=0))
        assert sorted(receiving.ids) == sorted(again)
        receiving.deliveries.clear()
        between = {"from_": "2023-11-14T22:00:00Z", "to": "2023-11-14T22:14:00Z"}
        assert await redeliver(api, created["id"], **between) == len(wanted) - len(again)


async def test_what_was_never_delivered_is_one_call_and_dead_letters_come_back_on_demand(api: Api, log: Log) -> None:
    feed = log.feed()
    began = datetime.now(UTC).isoformat()
    async with receiver() as receiving:
        receiving.choose = lambda d: status(422) if d.data["id"] in bad else None
        bad: set[str] = set()
        created = await api.create(feed, receiving.url, retry_s=[])
        name = created["id"]
        bad |= set(log.send(feed, 2))
        good = log.send(feed, 3)
        await until(lambda: has(api, name, delivered=3, lag=0))

        async def dead() -> list[dict[str, Any]]:
            code, body = await api.call("GET", f"/{name}/undelivered?from={began.replace('+', '%2B')}")
            assert code == 200, body
            found: list[dict[str, Any]] = body["dead_letters"]
            return found

        await until(lambda: _equal(dead, bad))
        letters = await dead()
        assert {letter["attempts"] for letter in letters} == {1}
        assert all("422" in letter["reason"] for letter in letters)
        bad.clear()
        assert await redeliver(api, name, dead_letters=True) == 2
        await until(lambda: has(api, name, delivered=5, parked=0))
        assert set(receiving.ids) >= set(good) | {letter["event_id"] for letter in letters}


async def _equal(dead: Any, ids: set[str]) -> bool:
    return {letter["event_id"] for letter in await dead()} == ids


async def test_a_subscription_catches_up_by_pull_and_pushing_goes_on_after_it(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, offset="-1")
        name = created["id"]
        ids = log.send(feed, 60, partition=0) + log.send(feed, 40, partition=1)
        await until(lambda: _open(api, name))
        pulled: list[str] = []
        while True:
            async with api.session.get(f"{api.url}/v1/subscriptions/{name}/events?limit=30") as answer:
                events, offset = orjson.loads(await answer.read()), answer.headers["Stream-Next-Offset"]
            if not events:
                break
            pulled += [event["id"] for event in events]
            code, acked = await api.call("POST", f"/{name}/ack", offset=offset)
            assert code == 200, acked
        assert sorted(pulled) == sorted(ids)
        assert (await api.status(name))["lag"] == 0
        receiving.deliveries.clear()
        receiving.answer = status(204)
        later = log.send(feed, 10)
        await until(lambda: has(api, name, delivered=10, lag=0))
        assert sorted(set(receiving.ids)) == sorted(later)


async def _open(api: Api, name: str) -> bool:
    state: str = (await api.status(name))["breaker"]["state"]
    return state != "closed"


async def test_attempts_are_read_by_subscription_outcome_and_event(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        failing = True
        receiving.choose = lambda d: status(503) if failing and d.data["id"] == ids[0] else None
        ids: list[str] = []
        created = await api.create(feed, receiving.url)
        name = created["id"]
        ids += log.send(feed, 3)
        await until(lambda: has(api, name, delivered=2, parked=1))
        failing = False
        await until(lambda: has(api, name, delivered=3, parked=0))

        async def attempts(**query: Any) -> list[dict[str, Any]]:
            asked = "&".join(f"{key}={value}" for key, value in query.items())
            code, body = await api.call("GET", f"/{name}/attempts?{asked}")
            assert code == 200, body
            found: list[dict[str, Any]] = body["attempts"]
            return found

        await until(lambda: _count(attempts, 3, outcome="done"))
        of_first = await attempts(event_id=ids[0])
        assert [attempt["attempt"] for attempt in of_first] == list(range(1, len(of_first) + 1))
        assert [attempt["status"] for attempt in of_first][:1] == [503]
        assert of_first[0]["next_attempt"] is not None
        assert of_first[-1]["outcome"] == "done"
        _, page = await api.call("GET", f"/{name}/attempts?limit=1")
        _, rest = await api.call("GET", f"/{name}/attempts?offset={page['next_offset']}")
        assert len(page["attempts"]) + len(rest["attempts"]) == len(of_first) + 2


async def _count(attempts: Any, count: int, **query: Any) -> bool:
    return len(await attempts(**query)) == count
