"""Changes of a subscription: patched, paused, disabled, resumed, its key rotated, moved, given another URL."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from support.receiver import after, receiver, status, when
from support.told import told
from support.waiting import until

from headrace.signing import VerificationError

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")

NOWHERE = "http://127.0.0.1:1/"


async def runs(api: Api, name: str, version: int) -> bool:
    """Whether its owner runs this version of it."""
    shown = await api.show(name)
    return bool(shown["version"] == version and shown["status"])


async def test_a_patch_merges_and_null_removes(api: Api, log: Log) -> None:
    created = await api.create(
        log.feed(), NOWHERE, labels={"team": "a", "env": "test"}, description="x", batch={"max_events": 5}, types=["a"]
    )
    name = created["id"]
    assert created["version"] == 1
    code, changed, etag = await api.patch(
        name,
        {
            "labels": {"team": None, "cost/center": "7"},
            "batch": {"max_wait_ms": 50},
            "max_in_flight": 3,
            "retry_s": [1, 2],
            "types": None,
        },
    )
    assert code == 200
    assert changed["labels"] == {"env": "test", "cost/center": "7"}
    assert changed["batch"] == {"max_events": 5, "max_wait_ms": 50}
    assert (changed["max_in_flight"], changed["retry_s"], changed["types"]) == (3, [1, 2], [])
    assert (changed["description"], changed["version"], changed["url"]) == ("x", 2, NOWHERE)
    assert changed["updated"] >= created["updated"]
    assert changed["created"] == created["created"]
    code, again, other_etag = await api.patch(name, {"max_in_flight": None, "description": None, "retry_s": None})
    assert (again["max_in_flight"], again["description"], again["retry_s"]) == (None, "", None)
    assert other_etag != etag
    await until(lambda: runs(api, name, 3))
    assert {k: v for k, v in (await api.show(name)).items() if k != "status"} == again


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"url": None}, "/url"),
        ({"url": "nonsense"}, "/url"),
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"feed": "another"}, "/feed"),
        ({"name": "another"}, "/name"),
        ({"state": "disabled"}, "/state"),
        ({"version": 7}, "/version"),
        ({"filter": "data.x =="}, "/filter"),
        ({"projection": {"a": "nope"}}, "/projection"),
        ({"batch": {"max_events": 0}}, "/batch/max_events"),
        ({"retry_s": [1, -1]}, "/retry_s/1"),
        ({"labels": {"not a label": "x"}}, "/labels/not a label"),
        ({"rate_limit_per_s": 0}, "/rate_limit_per_s"),
        ({"headers": {"Host": "x"}}, "/headers"),
        ({"auth": {"type": "basic", "username": "a:b", "password": "x"}}, "/auth/username"),
        ({"auth": {"type": "bearer", "token": "x", "more": 1}}, "/auth/more"),
        ({"auth": {"type": "magic"}}, "/auth"),
        ({"tls": {"ca": ""}}, "/tls/ca"),
    ],
)
async def test_a_patch_that_does_not_fit_says_where_and_changes_nothing(
    api: Api, log: Log, patch: dict[str, Any], pointer: str
) -> None:
    name = await _shared(api, log)
    before = await api.show(name)
    code, problem, _ = await api.patch(name, patch)
    assert code == 400
    assert problem["errors"][0]["pointer"] == pointer
    assert (await api.show(name))["version"] == before["version"]


_made: list[str] = []


async def _shared(api: Api, log: Log) -> str:
    if not _made:
        _made.append((await api.create(log.feed(), NOWHERE))["id"])
    return _made[0]


async def test_a_patch_that_is_no_object_or_of_nobody_is_refused(api: Api, log: Log) -> None:
    name = await _shared(api, log)
    patches: list[Any] = [[], 1, None, "x"]
    for patch in patches:
        assert (await api.patch(name, patch))[0] == 400
    assert (await api.patch("nobody", {}))[0] == 404


async def test_an_update_by_somebody_else_is_not_lost(api: Api, log: Log) -> None:
    name = (await api.create(log.feed(), NOWHERE))["id"]
    await until(lambda: runs(api, name, 1))
    async with api.session.get(f"{api.url}/v1/subscriptions/{name}") as answer:
        etag = answer.headers["ETag"]
    code, _, newer = await api.patch(name, {"description": "mine"}, if_match=etag)
    assert code == 200
    code, problem, told = await api.patch(name, {"description": "yours"}, if_match=etag)
    assert (code, told) == (412, newer)
    assert "read it again" in problem["detail"]
    assert (await api.patch(name, {"max_in_flight": 2}, if_match=f'"x", {newer}'))[0] == 200
    assert (await api.patch(name, {"max_in_flight": 3}, if_match="*"))[0] == 200
    for method, path in [("DELETE", ""), ("POST", "/pause"), ("POST", "/disable"), ("POST", "/secret/rotate")]:
        url = f"{api.url}/v1/subscriptions/{name}{path}"
        async with api.session.request(method, url, headers={"If-Match": etag}) as answer:
            assert answer.status == 412, path
    await until(lambda: runs(api, name, 4))
    assert (await api.show(name))["description"] == "mine"


async def test_of_changes_at_the_same_moment_each_counts(api: Api, log: Log) -> None:
    name = (await api.create(log.feed(), NOWHERE))["id"]
    answers = await asyncio.gather(*(api.patch(name, {"labels": {f"l{n}": "x"}}) for n in range(8)))
    assert [code for code, _, _ in answers] == [200] * 8
    await until(lambda: runs(api, name, 9))
    assert set((await api.show(name))["labels"]) == {f"l{n}" for n in range(8)}


async def test_a_resume_from_now_of_a_version_that_is_no_more_moves_nothing(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        name = (await api.create(feed, receiving.url))["id"]
        await until(lambda: api.has(name, lag=0))
        await api.call("POST", f"/{name}/pause")
        await until(lambda: runs(api, name, 2))
        log.send(feed, 5)
        await until(lambda: api.has(name, lag=5))
        url = f"{api.url}/v1/subscriptions/{name}/resume"
        async with api.session.post(url, json={"from": "now"}, headers={"If-Match": '"old"'}) as answer:
            assert answer.status == 412
        assert await api.has(name, lag=5, epoch=0)


async def test_the_list_has_pages_filters_and_labels(api: Api, log: Log) -> None:
    feed, other = log.feed(), log.feed()
    names = [(await api.create(feed, NOWHERE, labels={"n": str(n % 2), "run": feed}))["id"] for n in range(7)]
    await api.create(other, NOWHERE, labels={"run": feed})
    await api.call("POST", f"/{names[0]}/pause")
    await api.call("POST", f"/{names[1]}/disable")
    seen: list[str] = []
    cursor = ""
    pages = 0
    while True:
        _, page = await api.call("GET", f"?feed={feed}&limit=3" + (f"&cursor={cursor}" if cursor else ""))
        seen += [s["id"] for s in page["subscriptions"]]
        pages += 1
        if (cursor := page.get("next_cursor", "")) == "":
            break
        await api.create(feed, NOWHERE)  # one that is made meanwhile comes at the end
    assert seen[:7] == names
    assert len(seen) == 7 + pages - 1

    async def listed(query: str) -> list[str]:
        return [s["id"] for s in (await api.call("GET", f"?{query}"))[1]["subscriptions"]]

    assert await listed(f"label.run={feed}&label.n=1") == names[1::2]
    assert await listed(f"feed={feed}&state=paused") == [names[0]]
    assert await listed(f"feed={feed}&state=disabled") == [names[1]]
    assert await listed(f"feed={feed}&mode=pull") == []
    assert len(await listed(f"label.run={feed}")) == 8
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=nonsense", "colour=red"):
        assert (await api.call("GET", f"?{query}"))[0] == 400, query


@pytest.mark.parametrize("verb", ["pause", "disable"])
@pytest.mark.parametrize("from_", ["stopped", "now"])
async def test_it_goes_on_from_where_it_stopped_or_from_now(api: Api, log: Log, verb: str, from_: str) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        name = (await api.create(feed, receiving.url))["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 5)
        await until(lambda: api.has(name, delivered=5, lag=0))
        _, stopped = await api.call("POST", f"/{name}/{verb}")
        assert stopped["state"] == f"{verb}d"
        await until(lambda: runs(api, name, 2))
        between = log.send(feed, 5)
        await until(lambda: api.has(name, lag=5))
        code, resumed = await api.call("POST", f"/{name}/resume", from_=from_)
        assert (code, resumed["state"], resumed["reason"]) == (200, "active", "")
        await until(lambda: runs(api, name, 3))
        after_it = log.send(feed, 5)
        await until(lambda: set(after_it) <= set(receiving.ids))
        await until(lambda: api.has(name, lag=0))
        assert Counter(receiving.ids) == Counter(ids + (between if from_ == "stopped" else []) + after_it)


async def test_while_a_key_is_rotated_both_verify_and_afterwards_only_the_new(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        name = created["id"]
        await until(lambda: runs(api, name, 1))
        _, rotated = await api.call("POST", f"/{name}/secret/rotate", overlap_s=3)
        old, new = created["secret"], rotated["secret"]
        assert old != new
        await until(lambda: runs(api, name, 2))
        log.send(feed)
        await until(lambda: len(receiving.ids) == 1)
        receiving.deliveries[0].check(old)
        receiving.deliveries[0].check(new)

        def only_new() -> bool:
            log.send(feed)
            receiving.deliveries[-1].check(new)
            return len(receiving.deliveries[-1].headers["webhook-signature"].split()) == 1

        await until(only_new, every_s=0.2)
        with pytest.raises(VerificationError):
            receiving.deliveries[-1].check(old)
        _, public = await api.call("POST", f"/{name}/secret/rotate", overlap_s=0, signing="ed25519")
        assert public["secret"].startswith("whpk_")
        await until(lambda: runs(api, name, 3))
        await until(lambda: api.has(name, lag=0))
        log.send(feed)
        await until(lambda: receiving.deliveries[-1].headers["webhook-signature"].startswith("v1a,"))
        receiving.deliveries[-1].check(public["secret"])
        with pytest.raises(VerificationError):
            receiving.deliveries[-1].check(new)


async def test_a_secret_is_revealed_on_demand_and_that_is_logged(api: Api, log: Log) -> None:
    created = await api.create(log.feed(), NOWHERE)
    with structlog.testing.capture_logs() as lines:
        url = f"{api.url}/v1/subscriptions/{created['id']}/secret/reveal"
        async with api.session.post(url) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert (await answer.json())["secret"] == created["secret"]
    (line,) = [line for line in lines if line["event"] == "secret_revealed"]
    assert (line["subscription"], line["remote"]) == (created["id"], "127.0.0.1")
    assert created["secret"] not in repr(lines)


async def test_a_seek_keeps_how_its_endpoint_stands(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        name = (await api.create(feed, receiving.url, max_in_flight=1))["id"]
        await until(lambda: api.has(name, lag=0))
        receiving.answer = status(429, {"retry-after": "1000"})
        log.send(feed, 5)
        await until(lambda: _paused_until(api, name))
        before = (await api.status(name))["breaker"]
        moved = await api.seek(name, offset="-1")
        assert moved["status"]["breaker"] == before
        log.send(feed, 1)
        await until(lambda: api.has(name, lag=6))
        assert len(receiving.ids) == 1
        await api.call("DELETE", f"/{name}")


async def _paused_until(api: Api, name: str) -> str | None:
    found: str | None = (await api.status(name))["breaker"]["paused_until"]
    return found


async def test_another_url_takes_over_at_once_without_loss_or_repeat(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    ids = log.send(feed, 400)
    async with receiver() as old, receiver() as new:
        old.answer = after(0.01, status(204))
        name = (await api.create(feed, old.url, offset="-1", max_in_flight=4))["id"]
        await until(lambda: len(old.ids) >= 50)
        await api.patch(name, {"url": new.url})
        await until(lambda: runs(api, name, 2))
        at_old = len(old.ids)
        await until(lambda: api.has(name, lag=0, parked=0))
        assert len(old.ids) == at_old
        assert Counter(old.ids + new.ids) == Counter(ids)


async def test_another_url_in_place_of_a_dead_one_does_not_wait_for_its_breaker(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as old, receiver() as new:
        old.answer = status(503, {"retry-after": "1000"})
        name = (await api.create(feed, old.url, max_in_flight=1))["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 10)
        await until(lambda: _paused_until(api, name))
        await api.patch(name, {"url": new.url})
        await until(lambda: api.has(name, lag=0))
        assert Counter(new.ids) == Counter(ids)


async def test_what_an_old_url_answers_late_does_not_disable_the_new_one(api: Api, log: Log) -> None:
    feed = log.feed()
    held = asyncio.Event()
    async with receiver() as old, receiver() as new:
        old.answer = when(held, status(410))
        name = (await api.create(feed, old.url))["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 1)
        await until(lambda: old.waiting == 1)
        await api.patch(name, {"url": new.url})
        held.set()
        await until(lambda: _answered(log, name, 410))
        # Whatever the late answer had set going is written before this is: changes are made one after another.
        await api.patch(name, {"description": "later"})
        ids += log.send(feed)
        await until(lambda: set(new.ids) == set(ids))
        assert (await api.show(name))["state"] == "active"


async def _answered(log: Log, name: str, code: int) -> bool:
    return code in [attempt["status"] for attempt in await told(log.kafka, "headrace.attempts", name)]
