"""Endpoints that fail in every way: what the attempt is said to have failed of, in which phase, and how soon."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from support.scripted import LOOPBACK, OK, Script, Server, answering, closing, dripping, on_both_loops, playing, post
from support.waiting import until

from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"


async def failure(client: HttpClient, target: Target) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        await client.post(target, {}, b"{}")
    return failed.value


def saying(*pieces: bytes, then_reset: bool = False) -> Script:
    """Says something in answer to a request, and then resets the connection, or nothing more at all."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_reset:
            own = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            await reader.read()

    return script


@contextlib.contextmanager
def silent(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that answers nothing, not even TCP: so many wait to be accepted that the system drops who comes."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


# What an attempt failed of


@pytest.mark.parametrize(
    ("script", "error_class"),
    [
        (saying(then_reset=True), "reset"),
        (saying(b"HTTP/1.1 200 OK\r\nx-", then_reset=True), "reset"),
        (saying(HEAD + b"some", then_reset=True), "reset"),
        (closing(), "closed"),
        (closing(b"HTTP/1.1 200 OK\r\nx-"), "closed"),
        (closing(HEAD + b"some"), "closed"),
        (saying(), "timeout"),
        (saying(b"HTTP/1.1 200 OK\r\nx-"), "timeout"),
        (saying(HEAD + b"some"), "timeout"),
        (saying(b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
        (dripping(b"HTTP/1.1 200 OK\r\nx-slow: " + b"y" * 1000, 0.005), "timeout"),
        (dripping(HEAD + b"y" * 90, 0.01), "timeout"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000), "protocol"),
        (answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000), "protocol"),
        (answering(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"), "protocol"),
        (answering(b"220 mail.example ESMTP\r\n"), "protocol"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"), "protocol"),
    ],
)
@on_both_loops
async def test_the_failure_of_an_answer_has_its_class(client: HttpClient, script: Script, error_class: str) -> None:
    client.timeout_s = 0.5
    async with playing(script) as server:
        started = time.monotonic()
        failed = await failure(client, server.target)
        assert failed.error_class == error_class
        assert time.monotonic() - started < 1.5
        await until(lambda: server.open == 0)


@on_both_loops
async def test_a_port_where_nobody_listens_has_refused(client: HttpClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        failed = await failure(client, Target.of(f"http://127.0.0.1:{free.getsockname()[1]}/"))
    assert failed.error_class == "refused"
    assert "127.0.0.1" not in str(failed)


@on_both_loops
async def test_a_name_that_is_not_known_is_a_failure_of_dns(client: HttpClient) -> None:
    failed = await failure(client, Target.of("http://no-such-host.invalid/"))
    assert failed.error_class == "dns"
    assert failed.phases.connect_s == 0.0


# Connecting


@on_both_loops
async def test_an_endpoint_that_answers_no_connection_is_given_up_before_the_deadline() -> None:
    with contextlib.closing(HttpClient(10.0, connect_timeout_s=0.2, guard=LOOPBACK)) as client:
        with silent() as port:
            started = time.monotonic()
            failed = await failure(client, Target.of(f"http://127.0.0.1:{port}/"))
        assert failed.error_class == "connect_timeout"
        assert "no connection within 0.2 s" in str(failed)
        assert 0.19 <= time.monotonic() - started < 1.0


@on_both_loops
async def test_the_limit_of_connecting_covers_the_tls_handshake() -> None:
    with contextlib.closing(HttpClient(10.0, connect_timeout_s=0.2, guard=LOOPBACK)) as client:

        async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async def read_on(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                pass

        for hanging in (script, read_on):
            async with playing(hanging) as server:
                failed = await failure(client, Target.of(f"https://127.0.0.1:{server.target.port}/"))
                assert failed.error_class == "connect_timeout"
                assert failed.phases.connect_s > 0.0
                assert failed.phases.tls_s == 0.0
                await until(lambda server=server: server.open == 0)  # type: ignore[misc]


@on_both_loops
async def test_a_deadline_that_is_shorter_than_the_limit_of_connecting_holds() -> None:
    with contextlib.closing(HttpClient(0.2, connect_timeout_s=5.0, guard=LOOPBACK)) as client:
        with silent() as port:
            failed = await failure(client, Target.of(f"http://127.0.0.1:{port}/"))
        assert failed.error_class == "timeout"


@on_both_loops
async def test_an_address_that_does_not_answer_leaves_the_next_one_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.2", "127.0.0.3", "127.0.0.1"))
    with contextlib.closing(HttpClient(10.0, connect_timeout_s=0.6, guard=LOOPBACK)) as client:
        async with playing(answering(OK)) as server:
            port = server.target.port
            with silent("127.0.0.2", port), silent("127.0.0.3", port):
                answer = await client.post(Target.of(f"http://endpoint.example:{port}/"), {}, b"")
            assert answer.status == 200
            assert 0.39 <= answer.phases.connect_s < 0.6


@on_both_loops
async def test_of_addresses_that_all_fail_the_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HttpClient(10.0, connect_timeout_s=0.4, guard=LOOPBACK)
    with contextlib.closing(client), socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with silent("127.0.0.2", port):
            target = Target.of(f"http://endpoint.example:{port}/")
            monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.2", "127.0.0.1"))
            assert (await failure(client, target)).error_class == "connect_timeout"
            monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.1", "127.0.0.2"))
            assert (await failure(client, target)).error_class == "refused"


def addresses(*found: str) -> object:
    """A look-up that finds these, whatever is asked."""
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


# Phases


@on_both_loops
async def test_the_first_request_pays_for_the_connection_and_the_next_does_not(client: HttpClient) -> None:
    async with playing(dripping(OK, 0.002)) as server:
        first = (await client.post(Target.of(f"http://localhost:{server.target.port}/"), {}, b"")).phases
        assert 0.0 < first.dns_s < first.total_s
        assert 0.0 < first.connect_s < first.total_s
        assert first.tls_s == 0.0
        assert 0.0 < first.first_byte_s < first.total_s - 0.002 * (len(OK) - 1)

    async with playing(answering(OK)) as server:
        await post(client, server)
        second = (await post(client, server)).phases
        assert (second.dns_s, second.connect_s, second.tls_s) == (0.0, 0.0, 0.0)
        assert 0.0 < second.first_byte_s <= second.total_s


@on_both_loops
async def test_a_failure_tells_how_far_it_came(client: HttpClient) -> None:
    client.timeout_s = 0.3
    async with playing(saying()) as server:
        before = (await failure(client, server.target)).phases
    async with playing(saying(HEAD)) as server:
        after = (await failure(client, server.target)).phases
    assert before.first_byte_s == 0.0 < after.first_byte_s
    for phases in (before, after):
        assert phases.connect_s > 0.0
        assert 0.29 <= phases.total_s < 1.0


# What is read


@on_both_loops
async def test_a_compressed_bomb_is_neither_inflated_nor_read_to_its_end(client: HttpClient) -> None:
    bomb = gzip.compress(bytes(100 * 2**20))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    async with playing(answering(head + bomb)) as server:
        answer = await post(client, server)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.body == bomb[:4096]
        await until(lambda: server.open == 0)


@on_both_loops
async def test_who_asks_for_more_of_an_answer_gets_it_up_to_what_is_read(client: HttpClient) -> None:
    body = b"x" * 16_000
    async with playing(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 16000\r\n\r\n" + body)) as server:
        answer = await client.request("POST", server.target, {}, b"", keep_bytes=16 * 1024)
        assert answer.body == body
        assert (await post(client, server)).body == body[:4096]


# Other requests


@on_both_loops
async def test_a_handshake_is_asked_by_options(client: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\nallow: POST\r\nwebhook-allowed-origin: *\r\ncontent-length: 0\r\n\r\n"
    async with playing(answering(answer)) as server:
        headers = {"webhook-request-origin": "relay.example"}
        got = await client.request("OPTIONS", server.target, headers, b"")
        assert (got.status, got.headers["webhook-allowed-origin"]) == (200, "*")
        assert server.requests[0].startswith(b"OPTIONS /hook?a=b HTTP/1.1\r\n")
        assert b"webhook-request-origin: relay.example\r\n" in server.requests[0]


@pytest.mark.parametrize("value", ["1\r\nevil: 2", "1\nevil: 2", "1\revil: 2", "\u20ac"])
@on_both_loops
async def test_a_header_that_can_not_be_sent_is_refused_before_anything_is(client: HttpClient, value: str) -> None:
    async with playing(answering(OK)) as server:
        with pytest.raises(ValueError, match=r"line break|codec"):
            await client.post(server.target, {"x-custom": value}, b"")
        assert server.connections == 0
