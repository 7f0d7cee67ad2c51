from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
from integration.cli.conftest import Done, headrace, line, running, stop
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up
from support.receiver import receiver as receiving
from support.receiver import status
from support.waiting import until

from headrace.cli.receiver import Arrival, Receiver
from headrace.client import Client


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.status == 0, done.err
    return [orjson.loads(one) for one in done.out.splitlines()]


async def test_a_subscription_is_made_looked_at_moved_and_deleted(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    async with relay(), gateway() as url, Client(url) as client, receiver.listening("127.0.0.1", 0) as port:
        written = await client.publish(feed, [{"n": n} for n in range(3)])
        hook, name = f"http://127.0.0.1:{port}/", f"{feed}-cli"
        made = await headrace(
            url, "subscribe", feed, hook, "--name", name, "--ordering", "key", "--description", "a note"
        )
        [shown] = lines(made)
        assert (shown["id"], shown["feed"], shown["url"], shown["ordering"]) == (name, feed, hook, "key")
        assert f"headrace subscriptions test {name}" in made.err
        assert "HEADRACE_LISTEN_SECRET=whsec_... headrace listen" in made.err
        receiver.trust(shown["secret"])

        await taken_up(client, name)
        listed = lines(await headrace(url, "subscriptions"))
        assert [one["description"] for one in listed if one["id"] == name] == ["a note"]
        assert "secret" not in listed[0]
        assert lines(await headrace(url, "subscriptions", "list")) == listed
        tested = await headrace(url, "subscriptions", "test", name)
        assert (tested.status, tested.err[:23]) == (0, "Delivered: answered 204")
        assert [a.event["type"] for a in arrivals if a.event is not None] == ["headrace.test"]
        [moved] = lines(await headrace(url, "subscriptions", "seek", name, "--from", "-1"))
        assert moved["status"]["epoch"] > 0
        await until(lambda: [a.webhook_id for a in arrivals[1:]] == [w.id for w in written])
        assert (await headrace(url, "subscriptions", "pause", name)).err == f"{name} is paused.\n"
        assert (await headrace(url, "subscriptions", "resume", name)).err == f"{name} is active.\n"
        assert lines(await headrace(url, "subscriptions", "show", name))[0]["state"] == "active"
        assert (await headrace(url, "subscriptions", "delete", name)).err == f"{name} is deleted.\n"
        gone = await headrace(url, "subscriptions", "show", name)
    assert gone.status == 1
    assert gone.err.startswith(f"No subscription is called {name}")


async def test_what_is_wrong_is_told_in_a_line(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url:
        bad_url = await headrace(url, "subscribe", feed, "mailto:me")
        bad_name = await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--name", "no spaces")
        no_feed = await headrace(url, "subscribe", "no-such-feed", "http://127.0.0.1:9/")
        no_start = await headrace(url, "subscriptions", "seek", "sub")
        no_filter = await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--filter", "data.n >")
        no_password = await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--auth", "basic:me")
    assert [done.status for done in (bad_url, bad_name, no_feed, no_start)] == [1, 1, 1, 2]
    assert (no_filter.status, no_password.status) == (1, 2)
    assert "  /filter " in no_filter.err
    assert "HEADRACE_ENDPOINT_SECRET" in no_password.err
    assert bad_url.err.startswith("url: the URL must begin with http:// or https://")
    assert "  /name " in bad_name.err
    assert feed in no_feed.err
    assert "--from" in no_start.err
    assert bad_url.out == bad_name.out == no_feed.out == b""


async def test_options_of_the_command_line_and_of_a_file_make_one_subscription_with_its_password_unseen(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory, tmp_path: Path
) -> None:
    feed, file = new_feed(), tmp_path / "subscription.json"
    async with relay(), gateway() as url, Client(url) as client, receiving() as endpoint:
        members = {
            "feed": feed,
            "url": endpoint.url,
            "offset": "-1",
            "retry_s": [1],
            "labels": {"team": "dev", "of": feed},
        }
        file.write_bytes(orjson.dumps(members))
        made = await headrace(
            url,
            *("subscribe", "--file", str(file), "--label", "team=ops", "--type", "flight", "--filter", "data.n > 1"),
            *("--rate", "50", "--max-in-flight", "3", "--batch", "10", "--content-mode", "data"),
            *("--auth", "basic:me", "--header", "X-Team=ops", "--header-from", "X-Key=ENDPOINT_KEY"),
            *("--signing", "ed25519"),
            HEADRACE_ENDPOINT_SECRET="hidden",
            ENDPOINT_KEY="hidden, too",
        )
        [shown] = lines(made)
        chosen = {
            "feed": feed,
            "labels": {"team": "ops", "of": feed},
            "types": ["flight"],
            "filter": "data.n > 1",
            "rate_limit_per_s": 50,
            "max_in_flight": 3,
            "batch": {"max_events": 10, "max_wait_ms": 0},
            "content_mode": "data",
            "retry_s": [1],
            "auth": {"type": "basic", "username": "me"},
            "headers": ["x-key", "x-team"],
        }
        assert {name: shown[name] for name in chosen} == chosen
        assert b"hidden" not in made.out
        assert "HEADRACE_LISTEN_SECRET=whpk_..." in made.err

        name = shown["id"]
        await taken_up(client, name)
        assert (await headrace(url, "subscriptions", "test", name)).status == 0
        headers = endpoint.deliveries[-1].headers
        assert headers["authorization"] == "Basic " + base64.b64encode(b"me:hidden").decode()
        assert (headers["x-key"], headers["x-team"]) == ("hidden, too", "ops")
        await client.subscriptions.delete(name)


async def test_a_subscription_is_found_by_its_label_and_changed_under_an_etag(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        [ops] = lines(await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--label", "team=ops"))
        [dev] = lines(await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--label", "team=dev"))
        assert (await headrace(url, "subscriptions", "disable", dev["id"])).err == f"{dev['id']} is disabled.\n"
        listing = ("subscriptions", "list", "--feed", feed)
        assert [one["id"] for one in lines(await headrace(url, *listing, "--label", "team=ops"))] == [ops["id"]]
        assert [one["id"] for one in lines(await headrace(url, *listing, "--state", "disabled"))] == [dev["id"]]

        change = ("subscriptions", "update", ops["id"])
        etag = lines(await headrace(url, "subscriptions", "show", ops["id"]))[0]["etag"]
        [changed] = lines(
            await headrace(
                url, *change, "--rate", "5", "--filter", "true", "--label", "a.b=c", "--unset", "labels.team",
                "--endpoint", "http://127.0.0.1:9/new", "--if-match", etag,
            )
        )  # fmt: skip
        assert (changed["rate_limit_per_s"], changed["filter"], changed["labels"]) == (5, "true", {"a.b": "c"})
        assert changed["url"] == "http://127.0.0.1:9/new"
        late = await headrace(url, *change, "--rate", "7", "--if-match", etag)
        assert (late.status, late.err) == (1, "Somebody has changed it since: read it again.\n")
        [back] = lines(await headrace(url, *change, "--unset", "rate_limit_per_s", "--unset", "labels.a.b"))
        assert (back["rate_limit_per_s"], back["filter"], back["labels"]) == (None, "true", {})
        nothing = await headrace(url, *change)
        assert (nothing.status, nothing.out) == (2, b"")
        for one in (ops, dev):
            await client.subscriptions.delete(one["id"])


async def test_a_secret_is_rotated_and_revealed_alone_on_a_line(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, "http://127.0.0.1:9/")
        revealed = await headrace(url, "subscriptions", "reveal-secret", made.id)
        assert revealed.out.decode() == f"{made.secret}\n"
        rotated = await headrace(url, "subscriptions", "rotate-secret", made.id, "--overlap-s", "60")
        again = await headrace(url, "subscriptions", "reveal-secret", made.id)
        assert rotated.out == again.out != revealed.out
        await client.subscriptions.delete(made.id)


async def test_what_was_not_delivered_is_told_pushed_once_more_and_pulled(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, receiving() as endpoint:
        endpoint.answer = status(422, body=b"no such \x1b[2Jflight")
        made = await client.subscriptions.create(feed, endpoint.url, offset="-1", retry_s=[0.05])
        on = ("subscriptions",)
        [event] = await client.publish(feed, [{"n": 0}])
        await taken_up(client, made.id)
        tested = await headrace(url, *on, "test", made.id)
        assert tested.status == 1
        assert tested.err.endswith(" It answered: no such ?[2Jflight\n")

        async def given_up() -> bool:
            return len((await client.subscriptions.undelivered(made.id)).dead_letters) == 1

        await until(given_up)
        [found] = lines(await headrace(url, *on, "undelivered", made.id, "--from", "2013-01-01T00:00:00Z"))
        assert [letter["event_id"] for letter in found["dead_letters"]] == [event.id]
        attempts = lines(await headrace(url, *on, "attempts", made.id, "--event", event.id))
        assert [(a["attempt"], a["outcome"]) for a in attempts] == [(1, "retry_short"), (2, "dead_letter")]

        endpoint.answer = status(204)
        endpoint.deliveries.clear()
        place = f"{event.partition}/{event.offset}"
        for which in (("--dead-letters",), ("--event", place), ("--from", "-1")):
            pushed = await headrace(url, *on, "redeliver", made.id, *which)
            assert (pushed.status, pushed.err) == (0, "1 events are pushed once more.\n")
        async with running(url, *on, "attempts", made.id, "--outcome", "done", "--follow") as process:
            assert {orjson.loads(await line(process.stdout))["event_id"] for _ in range(3)} == {event.id}
            assert (await stop(process)).status == 0
        assert endpoint.ids == [event.id] * 3

        await headrace(url, *on, "pause", made.id)
        await taken_up(client, made.id)
        await client.publish(feed, [{"n": n} for n in range(1, 6)])
        seen = await headrace(url, *on, "events", made.id, "--limit", "2")
        assert [one["data"]["n"] for one in lines(seen)] == [1, 2]
        # What it says is what moves it: after the two.
        moved = await headrace(url, *seen.err.split("headrace ")[1].split())
        assert moved.status == 0
        taken = await headrace(url, *on, "events", made.id, "--ack")
        assert [one["data"]["n"] for one in lines(taken)] == [3, 4, 5]
        assert (taken.err, lines(await headrace(url, *on, "events", made.id))) == ("", [])

        await client.publish(feed, [{"n": 6}])
        assert (await headrace(url, *on, "resume", made.id, "--from-now")).err == f"{made.id} is active.\n"
        [late] = await client.publish(feed, [{"n": 7}])
        await until(lambda: late.id in endpoint.ids)
        assert endpoint.ids[3:] == [late.id]
        await client.subscriptions.delete(made.id)


async def test_what_is_asked_for_wrongly_is_told_before_the_gateway_is_asked() -> None:
    nobody = "http://127.0.0.1:9"
    for arguments, why in (
        (("redeliver", "sub"), "--dead-letters"),
        (("redeliver", "sub", "--event", "17"), "PARTITION/OFFSET"),
        (("redeliver", "sub", "--event", "0/17", "--from", "-1"), "goes with nothing else"),
        (("redeliver", "sub", "--dead-letters", "--from", "-1"), "is not a time"),
        (("undelivered", "sub", "--from", "2026-11-24T09:00:00"), "offset from UTC"),
    ):
        done = await headrace(nobody, "subscriptions", *arguments)
        assert (done.status, done.out) == (2, b"")
        assert why in done.err
