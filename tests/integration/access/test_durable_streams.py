"""Who may make, write, read and remove a stream."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from support.waiting import until

helpers: Any = importlib.import_module("integration.access.conftest")
MESSAGE = {"Content-Type": "application/json"}


async def ready(gateway: Any, *keys: str) -> None:
    """Wait until a gateway has heard of keys."""
    for key in keys:

        async def known(key: str = key) -> bool:
            return bool((await gateway.call("GET", "/v1/feeds", key))[0] == 200)

        await until(known)


async def test_each_call_needs_its_own_scope_under_both_names(gateway: Any, keys: Any) -> None:
    scopes = {action: await keys.make(f"{action}:chat.*") for action in ("admin", "publish", "read", "subscribe")}
    stranger = await keys.make("admin:other.*")
    await ready(gateway, *scopes.values(), stranger)
    for name, path in (("chat.1", "/v1/stream/chat.1"), ("chat.2", "/v1/feeds/chat.2/events")):
        calls = [("PUT", "admin", 201), ("POST", "publish", 204), ("GET", "read", 200), ("DELETE", "admin", 204)]
        for method, needed, status in calls:
            json = {"n": 1} if method == "POST" else None
            headers = MESSAGE if method in ("PUT", "POST") else {}
            for action, key in scopes.items():
                if action not in (needed, "admin"):
                    refused, _, body = await gateway.call(method, path, key, json=json, headers=headers)
                    assert (refused, body["missing_scopes"]) == (403, [f"{needed}:{name}"])
            assert (await gateway.call(method, path, stranger, json=json, headers=headers))[0] == 403
            assert (await gateway.call(method, path, scopes[needed], json=json, headers=headers))[0] == status


async def test_who_may_only_read_sees_its_streams_in_the_list(gateway: Any, keys: Any) -> None:
    admin, reader = await keys.make("admin:list.*"), await keys.make("read:list.a")
    await ready(gateway, admin, reader)
    for name in ("list.a", "list.b"):
        assert (await gateway.call("PUT", f"/v1/stream/{name}", admin, headers=MESSAGE))[0] == 201
    _, _, body = await gateway.call("GET", "/v1/feeds", reader)
    assert [feed["name"] for feed in body["feeds"]] == ["list.a"]


async def test_who_may_subscribe_to_a_stream_does_and_nobody_else(gateway: Any, keys: Any) -> None:
    admin, mine = await keys.make("admin:subscribed.*"), await keys.make("subscribe:subscribed.a")
    other, reader = await keys.make("subscribe:other.*"), await keys.make("read:subscribed.*")
    await ready(gateway, admin, mine, other, reader)
    assert (await gateway.call("PUT", "/v1/stream/subscribed.a", admin, headers=MESSAGE))[0] == 201
    wanted = {"feed": "subscribed.a", "mode": "pull", "name": "of-a-stream"}
    assert (await gateway.call("POST", "/v1/subscriptions", reader, json=wanted))[0] == 403
    status, _, body = await gateway.call("POST", "/v1/subscriptions", other, json=wanted)
    assert (status, body["missing_scopes"]) == (403, ["subscribe:subscribed.a"])
    assert (await gateway.call("POST", "/v1/subscriptions", mine, json=wanted))[0] == 201
    # Who may is asked by the subscription's feed, also when the stream is no more.
    assert (await gateway.call("DELETE", "/v1/stream/subscribed.a", admin))[0] == 204
    for method, path in (("GET", ""), ("POST", "/lease"), ("POST", "/seek"), ("DELETE", "")):
        status, _, body = await gateway.call(method, f"/v1/subscriptions/of-a-stream{path}", other, json={})
        assert (status, body["missing_scopes"]) == (403, ["subscribe:subscribed.a"]), (method, path)
    assert (await gateway.call("GET", "/v1/subscriptions", other))[2]["subscriptions"] == []
    assert len((await gateway.call("GET", "/v1/subscriptions", mine))[2]["subscriptions"]) == 1
    # All streams' dead letters are one feed: it takes a scope of its own.
    dead = {"feed": "headrace.streams.dead", "mode": "pull"}
    assert (await gateway.call("POST", "/v1/subscriptions", mine, json=dead))[0] == 403
    assert (await gateway.call("GET", "/v1/feeds/headrace.streams.dead/events", reader))[0] == 403
    assert (await gateway.call("DELETE", "/v1/subscriptions/of-a-stream", mine))[0] == 204


async def test_an_open_stream_ends_with_the_key_that_opened_it(gateway: Any, keys: Any) -> None:
    admin, reader = await keys.make("admin:open.*"), await keys.make("read:open.*")
    await ready(gateway, admin, reader)
    assert (await gateway.call("PUT", "/v1/stream/open.a", admin, headers=MESSAGE))[0] == 201
    async with gateway.open("/v1/stream/open.a?offset=-1&live=sse", reader) as stream:
        assert await stream.content.readuntil(b"event: control")
        await keys.revoke(reader)
        await asyncio.wait_for(stream.content.read(), 10)


async def test_answers_of_a_keyed_gateway_are_not_for_shared_caches(gateway: Any, keys: Any) -> None:
    admin = await keys.make("admin:cache.*")
    await ready(gateway, admin)
    await gateway.call("PUT", "/v1/stream/cache.a", admin, json=[1, 2, 3], headers=MESSAGE)
    _, headers, _ = await gateway.call("GET", "/v1/stream/cache.a?limit=1", admin)
    assert headers["Cache-Control"].startswith("private")


async def test_messages_over_websocket_need_the_scope_of_the_stream_they_go_to(gateway: Any, keys: Any) -> None:
    admin, writer = await keys.make("admin:talk.*"), await keys.make("read:talk.*", "publish:talk.mine")
    await ready(gateway, admin, writer)
    for name in ("talk.mine", "talk.yours"):
        assert (await gateway.call("PUT", f"/v1/stream/{name}", admin, headers=MESSAGE))[0] == 201
    url = f"{gateway.url}/v1/stream/talk.mine"
    async with gateway.session.ws_connect(
        url, protocols=["headrace.v1"], headers={"Authorization": f"Bearer {writer}"}
    ) as socket:
        for name in ("talk.yours", "talk.mine"):
            await socket.send_json({"type": "publish", "id": name, "feed": name, "messages": [1]})
        refused, taken = await socket.receive_json(), await socket.receive_json()
    assert (refused["id"], refused["problem"]["missing_scopes"]) == ("talk.yours", ["publish:talk.yours"])
    assert (taken["id"], taken["type"]) == ("talk.mine", "published")
