"""What an endpoint is shown to be let in, and that nobody else sees it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
import pytest
import structlog
from aiohttp import web
from support.certificates import Authority
from support.receiver import Answer, Delivery, receiver, status, when
from support.told import records
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


NOWHERE = "http://127.0.0.1:1/"


class TokenServer:
    """Gives tokens `t1`, `t2`, ... that last `lasts_s`; while it is `broken` none."""

    def __init__(self) -> None:
        self.url = ""
        self.forms: list[dict[str, str]] = []
        self.pairs: list[str] = []
        self.lasts_s = 3600.0
        self.broken = False
        self._numbers = itertools.count(1)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer as RFC 6749 section 4.4 says."""
        self.forms.append(dict(parse_qsl(await request.text())))
        self.pairs.append(base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode())
        if self.broken:
            return web.json_response({"error": "server_error"}, status=500)
        token = f"t{next(self._numbers)}"
        return web.json_response({"access_token": token, "token_type": "bearer", "expires_in": self.lasts_s})


@contextlib.asynccontextmanager
async def token_server() -> AsyncIterator[TokenServer]:
    tokens = TokenServer()
    app = web.Application()
    app.router.add_post("/token", tokens.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tokens.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    try:
        yield tokens
    finally:
        await runner.cleanup()


def oauth2(tokens: TokenServer, **members: str) -> dict[str, str]:
    return {"type": "oauth2", "token_url": tokens.url, "client_id": "me", "client_secret": "s e:cret", **members}


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"type": "basic", "username": "me", "password": "pass:wört"}, "Basic bWU6cGFzczp3w7ZydA=="),
        ({"type": "bearer", "token": "abc.def"}, "Bearer abc.def"),
    ],
)
async def test_basic_and_bearer_are_in_every_request(api: Api, log: Log, auth: dict[str, str], header: str) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, auth=auth)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 3)
        await until(lambda: len(receiving.ids) == 3)
        assert {delivery.headers["authorization"] for delivery in receiving.deliveries} == {header}
        _, outcome = await api.call("POST", f"/{created['id']}/test")
        assert outcome["delivered"]
        assert receiving.deliveries[-1].headers["authorization"] == header


async def test_a_token_is_fetched_once_and_kept(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, token_server() as tokens:
        created = await api.create(feed, receiving.url, auth=oauth2(tokens, scope="events write"))
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 100)
        await until(lambda: api.has(created["id"], delivered=100))
        assert {delivery.headers["authorization"] for delivery in receiving.deliveries} == {"Bearer t1"}
        assert tokens.forms == [{"grant_type": "client_credentials", "scope": "events write"}]
        assert tokens.pairs == ["me:s+e%3Acret"]


async def test_a_token_is_renewed_before_it_ends(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, token_server() as tokens:
        tokens.lasts_s = 1.0
        created = await api.create(feed, receiving.url, auth=oauth2(tokens))
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 5)
        await until(lambda: len(receiving.ids) == 5)

        def renewed() -> bool:
            log.send(feed)
            return receiving.deliveries[-1].headers["authorization"] != "Bearer t1"

        await until(renewed, every_s=0.1)
        assert len(tokens.forms) <= 6


async def test_a_token_that_is_refused_is_replaced_once_by_all_who_were_refused(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, token_server() as tokens:
        created = await api.create(feed, receiving.url, auth=oauth2(tokens), failures_to_open=100, retry_s=[0.05] * 3)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 50)
        await until(lambda: api.has(created["id"], delivered=50))
        renewed = asyncio.Event()
        refused: list[str] = []

        def choose(delivery: Delivery) -> Answer | None:
            if delivery.headers["authorization"] != "Bearer t1":
                renewed.set()
                return None
            refused.append(delivery.id)
            # All but the first are refused when there is a new token already.
            return status(401) if len(refused) == 1 else when(renewed, status(401))

        receiving.choose = choose
        log.send(feed, 50)
        await until(lambda: api.has(created["id"], delivered=100, lag=0, parked=0))
        assert len(refused) > 1
        assert len(tokens.forms) == 2


async def test_a_token_server_that_fails_is_the_endpoints_failure(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, token_server() as tokens:
        tokens.broken = True
        created = await api.create(feed, receiving.url, auth=oauth2(tokens), failures_to_open=3)
        await until(lambda: api.has(created["id"], lag=0))
        ids = log.send(feed, 20)
        await until(lambda: _open(api, created["id"]))
        assert receiving.ids == []
        assert "token" in (await api.status(created["id"]))["last_error"]
        asked = len(tokens.forms)
        await until(lambda: len(tokens.forms) > asked)
        tokens.broken = False
        await until(lambda: api.has(created["id"], delivered=20, lag=0, parked=0))
        assert sorted(receiving.ids) == sorted(ids)


async def _open(api: Api, name: str) -> bool:
    return await api.breaker(name) in ("open", "half_open")


async def test_the_guard_holds_for_the_servers_of_tokens(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        for token_url in ("http://10.0.0.1/token", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "ftp://x/"):
            auth = {"type": "oauth2", "token_url": token_url, "client_id": "me", "client_secret": "s"}
            code, problem = await api.call("POST", feed=feed, url=receiving.url, auth=auth)
            assert code == 400, token_url
            assert [error["pointer"] for error in problem["errors"]] == ["/auth/token_url"]
        created = await api.create(feed, receiving.url)
        code, problem, _ = await api.patch(created["id"], {"auth": auth})
        assert (code, problem["errors"][0]["pointer"]) == (400, "/auth/token_url")


@contextlib.asynccontextmanager
async def tls_receiver(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[Any]]]:
    """A receiver with TLS; gives its URL and the certificates it was shown."""
    shown: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown.append(request.transport.get_extra_info("peercert"))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/hook", shown
    finally:
        await runner.cleanup()


async def test_mutual_tls_with_an_authority_of_ones_own(api: Api, log: Log) -> None:
    feed = log.feed()
    servers, clients = Authority("of servers"), Authority("of clients")
    ours = clients.issue(subject="headrace")
    tls = {"ca": servers.pem, "certificate": ours.certificate, "key": ours.key}
    async with tls_receiver(servers.issue("127.0.0.1").server(clients_of=clients.pem)) as (url, shown):
        good = await api.create(feed, url, tls=tls)
        without = await api.create(feed, url, tls={"ca": servers.pem})
        without_ca = await api.create(feed, url)
        assert good["tls"] == {"ca": True, "certificate": True, "key": True}
        assert without["tls"] == {"ca": True, "certificate": False, "key": False}
        for created in (good, without, without_ca):
            await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
        log.send(feed, 5)
        await until(lambda: api.has(good["id"], delivered=5, lag=0, failed=0))
        assert {peer["subject"][0][0][1] for peer in shown} == {"headrace"}
        assert len(shown) == 5
        for created in (without, without_ca):
            await until(lambda: _failed(api, created["id"]))  # noqa: B023
            assert await api.has(created["id"], delivered=0)
        code, _, _ = await api.patch(without["id"], {"tls": tls})
        assert code == 200
        await until(lambda: api.has(without["id"], delivered=5, lag=0))


async def _failed(api: Api, name: str) -> bool:
    return bool((await api.status(name)).get("failed"))


@pytest.mark.parametrize("change", ["certificate", "key", "ca", "lonely", "http"])
async def test_a_tls_identity_that_is_none_is_refused_at_once(api: Api, log: Log, change: str) -> None:
    feed = log.feed()
    authority = Authority()
    ours, others = authority.issue(), authority.issue()
    tls: dict[str, Any] = {"ca": authority.pem, "certificate": ours.certificate, "key": ours.key}
    tls |= {"certificate": {"certificate": "none"}, "key": {"key": others.key}, "ca": {"ca": "none"}}.get(change, {})
    if change == "lonely":
        del tls["key"]
    url = "http://127.0.0.1:1/" if change == "http" else "https://127.0.0.1:1/"
    code, problem = await api.call("POST", feed=feed, url=url, tls=tls)
    assert (code, problem["errors"][0]["pointer"]) == (400, "/tls")
    assert "PRIVATE KEY" not in orjson.dumps(problem).decode()


async def test_a_url_that_its_tls_identity_does_not_fit_is_refused(api: Api, log: Log) -> None:
    feed = log.feed()
    created = await api.create(feed, "https://127.0.0.1:1/", tls={"ca": Authority().pem})
    code, problem, _ = await api.patch(created["id"], {"url": "http://127.0.0.1:1/"})
    assert (code, problem["errors"][0]["pointer"]) == (400, "/tls")
    code, _, _ = await api.patch(created["id"], {"url": "http://127.0.0.1:1/", "tls": None})
    assert code == 200


async def test_nothing_secret_is_shown_logged_or_plain_in_kafka(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    ours = Authority().issue()
    hidden = {
        "password": "hush-password-1",
        "token": "hush-token-2",
        "client_secret": "hush-secret-3",
        "header": "hush-header-4",
        "key": ours.key.splitlines()[1],
    }
    auths: list[dict[str, str]] = [
        {"type": "basic", "username": "me", "password": hidden["password"]},
        {"type": "bearer", "token": hidden["token"]},
        {
            "type": "oauth2",
            "token_url": "http://127.0.0.1:1/",
            "client_id": "me",
            "client_secret": hidden["client_secret"],
        },
    ]
    said: list[Any] = []
    secrets: list[str] = []
    with structlog.testing.capture_logs() as lines:
        for auth in auths:
            tls = {"certificate": ours.certificate, "key": ours.key}
            created = await api.create(
                feed,
                "https://127.0.0.1:1/",
                auth=auth,
                headers={"x-key": hidden["header"]},
                tls=tls,
                failures_to_open=2,
            )
            name = created["id"]
            secrets.append(created.pop("secret").removeprefix("whsec_"))
            await until(lambda: api.has(name, lag=0))  # noqa: B023
            log.send(feed, 3)
            await until(lambda: _failed(api, name))  # noqa: B023
            said += [created, (await api.call("POST", f"/{name}/test"))[1], await api.show(name)]
            said.append(await api.patch(name, {"labels": {"a": "b"}, "auth": auth}))
            said.append((await api.patch(name, {"auth": {**auth, "nonsense": 1}}))[1])
            said.append((await api.call("POST", f"/{name}/disable"))[1])
        said.append((await api.call("GET"))[1])
    topics = ["headrace.subscriptions", "headrace.positions", "headrace.attempts", "headrace.events"]
    for topic in topics:
        said += [repr((m.key(), m.value(), m.headers())) for m in await records(log.kafka, topic)]
    text = repr(said) + repr(lines)
    assert name in text
    for secret in [*hidden.values(), *secrets]:
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in text


async def test_credentials_changed_are_used_from_then_on(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, auth={"type": "bearer", "token": "one"}, headers={"x-a": "1"})
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        log.send(feed)
        await until(lambda: len(receiving.ids) == 1)
        _, changed, _ = await api.patch(name, {"auth": {"type": "bearer", "token": "two"}})
        assert (changed["auth"], changed["headers"]) == ({"type": "bearer"}, ["x-a"])
        await until(lambda: _version(api, name, 2))
        log.send(feed)
        await until(lambda: len(receiving.ids) == 2)
        _, changed, _ = await api.patch(name, {"auth": None, "headers": {"x-b": "2"}})
        assert (changed["auth"], changed["headers"]) == (None, ["x-b"])
        await until(lambda: _version(api, name, 3))
        log.send(feed)
        await until(lambda: len(receiving.ids) == 3)
        one, two, three = receiving.deliveries
        assert (one.headers["authorization"], one.headers["x-a"]) == ("Bearer one", "1")
        assert (two.headers["authorization"], two.headers["x-a"]) == ("Bearer two", "1")
        assert "authorization" not in three.headers
        assert ("x-a" in three.headers, three.headers["x-b"]) == (False, "2")


async def _version(api: Api, name: str, version: int) -> bool:
    """Whether its owner has seen the change."""
    shown = await api.show(name)
    return bool(shown["version"] == version and shown["status"])
