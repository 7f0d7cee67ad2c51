from __future__ import annotations

import signal
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import orjson
import pytest
from integration.cli.conftest import headrace, line, running, stop
from integration.client.conftest import FeedFactory, Gateway, RelayFactory
from standardwebhooks import Webhook

from headrace.client import Client
from headrace.consumers.relay.signer import Signer
from headrace.consumers.relay.signing_key import new_signing_key
from headrace.signing import generate_secret, sign

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_subscribes_itself_sees_verified_pushes_and_leaves_nothing_behind(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory, number: signal.Signals
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client:
        await client.publish(feed, [{"n": 0}])
        async with running(url, "listen", feed, "--port", "0", "--from", "-1", "--json") as process:
            told = await line(process.stderr)
            assert f"Subscribed to {feed}" in told
            endpoint = next(word for word in told.split() if word.startswith("http://"))
            first = orjson.loads(await line(process.stdout))
            [written] = await client.publish(feed, [{"n": 1}])
            second = orjson.loads(await line(process.stdout))
            forged = {
                "webhook-id": "forged",
                "webhook-timestamp": "1700000000",
                "webhook-signature": sign(generate_secret(), "forged", 1_700_000_000, b"{}"),
            }
            async with aiohttp.ClientSession() as session, session.post(endpoint, headers=forged, data=b"{}") as answer:
                refusal = (answer.status, await answer.text())
            third = orjson.loads(await line(process.stdout))
            assert [one.url for one in await client.subscriptions.list() if one.feed == feed] == [endpoint]
            done = await stop(process, number)
        left = [one for one in await client.subscriptions.list() if one.feed == feed]
    assert [first["event"]["data"], second["event"]["data"]] == [{"n": 0}, {"n": 1}]
    assert (second["verified"], second["repeat"], second["webhook_id"]) == (True, False, written.id)
    assert refusal[0] == 401
    assert "webhook-timestamp" in refusal[1]
    assert third["verified"] is False
    assert "event" not in third
    assert left == []
    assert done.status == 0
    assert done.err.splitlines()[-1] == "2 events, 0 repeats, 1 refused."


async def test_with_a_secret_it_is_the_receiver_of_a_subscription_of_ones_own() -> None:
    secret = generate_secret()
    body = '{"id":"evt-1","type":"flight","partition":2,"sequence":"0000000000000000070","data":{"n":1}}'
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt-1",
        "webhook-timestamp": str(int(now.timestamp())),
        # By another implementation than the one that verifies.
        "webhook-signature": Webhook(secret).sign("evt-1", now, body),
    }
    async with running(NOBODY, "listen", "--secret", secret, "--port", "0") as process:
        told = await line(process.stderr)
        endpoint = next(word for word in told.split() if word.startswith("http://"))
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(f"{endpoint}any/path", headers=headers, data=body) as answer:
                    assert answer.status == 204
            async with session.post(endpoint, headers=headers, data=body + " ") as answer:
                assert answer.status == 401
                assert "no signature fits" in await answer.text()
            async with session.post(endpoint, data=body) as answer:
                assert answer.status == 401
                assert "webhook-id is missing" in await answer.text()
            async with session.get(endpoint) as answer:
                assert answer.status == 405
        lines = [await line(process.stdout) for _ in range(4)]
        done = await stop(process)
    assert [one.split()[1] for one in lines] == ["verified", "repeat", "refused", "refused"]
    assert lines[0].split()[2:] == ["evt-1", "flight", "2/70", '{"n":1}']
    assert (done.status, done.err) == (0, "1 events, 1 repeats, 2 refused.\n")


async def test_with_a_public_key_in_the_environment_it_verifies_and_nobody_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = int(time.time())
    key = new_signing_key("ed25519", now_s)
    headers = {
        "webhook-id": "evt-1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": Signer([key]).sign("evt-1", now_s, b"{}", now_s),
    }
    monkeypatch.setenv("HEADRACE_LISTEN_SECRET", key.receiver_key)
    async with running(NOBODY, "listen", "--port", "0") as process:
        told = await line(process.stderr)
        endpoint = next(word for word in told.split() if word.startswith("http://"))
        assert key.receiver_key not in Path(f"/proc/{process.pid}/cmdline").read_text()
        async with aiohttp.ClientSession() as session:
            for body, status in ((b"{}", 204), (b"[]", 401)):
                async with session.post(endpoint, headers=headers, data=body) as answer:
                    assert answer.status == status
        done = await stop(process)
    assert (done.status, done.err) == (0, "1 events, 0 repeats, 1 refused.\n")


async def test_what_it_cannot_do_is_told_with_what_to_change() -> None:
    neither = await headrace(NOBODY, "listen")
    assert neither.status == 2
    assert "--secret" in neither.err
    bad_secret = await headrace(NOBODY, "listen", "--secret", "whsec_?")
    assert bad_secret.status == 2
    assert "whsec_" in bad_secret.err
    no_gateway = await headrace(NOBODY, "listen", "flights.enriched", "--port", "0")
    assert no_gateway.status == 1
    assert no_gateway.err.startswith("The gateway at http://127.0.0.1:9 cannot be reached: Connection refused.")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        no_port = await headrace(NOBODY, "listen", "--secret", generate_secret(), "--port", port)
    assert no_port.status == 1
    assert "another --port" in no_port.err
    assert "Traceback" not in "".join(done.err for done in (neither, bad_secret, no_gateway, no_port))
