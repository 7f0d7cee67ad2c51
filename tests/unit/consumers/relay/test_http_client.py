"""The HTTP client against servers that behave in every way they should not, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.scripted import LOOPBACK, OK, Server, answering, closing, dripping, on_both_loops, playing, post
from support.waiting import until

from headrace.consumers.relay import http_client
from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target


def _sockets() -> int:
    """Sockets that this process has open; uvloop keeps other descriptors for itself."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return found


# Requests


@on_both_loops
async def test_a_request_is_plain_http(client: HttpClient) -> None:
    async with playing(answering(OK)) as server:
        await client.post(server.target, {"webhook-id": "evt_1", "content-type": "application/json"}, b'{"a":1}')
        port = server.target.port
        assert server.requests == [
            b"POST /hook?a=b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-length: 7\r\n" % port
            + b'webhook-id: evt_1\r\ncontent-type: application/json\r\n\r\n{"a":1}'
        ]


@on_both_loops
async def test_a_large_body_arrives_whole(client: HttpClient) -> None:
    body = os.urandom(3 * 2**20)
    async with playing(answering(OK)) as server:
        assert (await post(client, server, body)).status == 200
        assert server.requests[0].endswith(b"\r\n\r\n" + body)


@on_both_loops
async def test_an_ipv6_address_is_dialled_and_named(client: HttpClient) -> None:
    async with playing(answering(OK), host="::1") as server:
        assert (await post(client, server)).status == 200
        assert b"host: [::1]:%d\r\n" % server.target.port in server.requests[0]


@on_both_loops
async def test_a_name_is_looked_up_and_the_next_address_is_tried(client: HttpClient) -> None:
    async with playing(answering(OK)) as server:  # on IPv4 only, while localhost may be ::1, too
        target = Target.of(f"http://localhost:{server.target.port}/")
        assert (await client.post(target, {}, b"")).status == 200


# Connections


@on_both_loops
async def test_one_connection_serves_many_requests(client: HttpClient) -> None:
    async with playing(answering(OK)) as server:
        for _ in range(20):
            assert (await post(client, server)).body == b"ok"
        assert server.connections == 1


@on_both_loops
async def test_requests_at_the_same_time_have_connections_of_their_own(client: HttpClient) -> None:
    async with playing(answering(OK)) as server:
        await asyncio.gather(*(post(client, server) for _ in range(10)))
        assert server.connections == 10
        await asyncio.gather(*(post(client, server) for _ in range(10)))
        assert server.connections == 10


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
@on_both_loops
async def test_a_connection_that_the_server_ends_is_not_used_again(client: HttpClient, answer: bytes) -> None:
    async with playing(answering(answer)) as server:
        for _ in range(3):
            assert (await post(client, server)).status == 200
        assert server.connections == 3
        await until(lambda: server.open == 0)


@on_both_loops
async def test_a_connection_closed_while_idle_is_replaced_without_a_failure(client: HttpClient) -> None:
    async with playing(closing(OK)) as server:
        for _ in range(5):
            assert (await post(client, server)).status == 200
            await until(lambda: server.open == 0)
        assert server.connections == 5


@on_both_loops
async def test_a_server_that_closes_as_the_request_comes_is_asked_once_more_and_not_again(client: HttpClient) -> None:
    """However many idle connections there are: each of them might carry the event to the endpoint once more."""
    done = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        if not done.is_set():
            writer.write(OK)
            await server.request(reader)  # and close

    async with playing(script) as server:
        await asyncio.gather(*(post(client, server) for _ in range(10)))
        done.set()
        asked = len(server.requests)
        with pytest.raises(AttemptFailed, match="closed without an answer"):
            await post(client, server)
        assert len(server.requests) == asked + 2


@on_both_loops
async def test_a_reset_while_idle_is_replaced_without_a_failure(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        if server.connections == 1:
            await server.request(reader)
            writer.transport.abort()
            return
        await server.request(reader)
        writer.write(OK)

    async with playing(script) as server:
        assert (await post(client, server)).status == 200
        assert (await post(client, server)).status == 200
        assert server.connections == 2


@on_both_loops
async def test_a_server_that_half_closes_after_its_answer_is_not_asked_on_that_connection(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        writer.write_eof()
        await reader.read()  # until the client closes, too

    async with playing(script) as server:
        for number in range(1, 4):
            assert (await post(client, server)).status == 200
            assert server.connections == number
            await until(lambda: server.open == 0)


@on_both_loops
async def test_a_server_that_half_closes_before_its_answer_has_failed(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write_eof()
        await reader.read()

    async with playing(script) as server:
        with pytest.raises(AttemptFailed, match="closed without an answer"):
            await post(client, server)
        await until(lambda: server.open == 0)


@on_both_loops
async def test_bytes_that_nobody_asked_for_end_an_idle_connection(client: HttpClient) -> None:
    talk = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        if server.connections == 1:
            await talk.wait()
            writer.write(b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with playing(script) as server:
        assert (await post(client, server)).status == 200
        talk.set()
        await until(lambda: server.open == 0)
        assert (await post(client, server)).status == 200


@on_both_loops
async def test_a_second_answer_in_the_same_bytes_counts_for_nothing(client: HttpClient) -> None:
    split = b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n" + OK
    async with playing(answering(split)) as server:
        for number in range(1, 4):
            assert (await post(client, server)).status == 500
            assert server.connections == number
        await until(lambda: server.open == 0)


@on_both_loops
async def test_idle_connections_are_closed_after_their_time(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(answering(OK)) as server:
        await asyncio.gather(*(post(client, server) for _ in range(5)))
        client.sweep()
        assert server.open == 5
        monkeypatch.setattr(http_client, "IDLE_S", -1.0)
        client.sweep()
        await until(lambda: server.open == 0)


@on_both_loops
async def test_of_too_many_idle_connections_the_one_idle_for_longest_is_closed(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "MAX_IDLE", 2)
    async with playing(answering(OK)) as first, playing(answering(OK)) as second, playing(answering(OK)) as third:
        for server in (first, second, third):
            await post(client, server)
        await until(lambda: first.open == 0)
        for server in (first, second, third):
            await post(client, server)
        # The second was closed to keep the first's new one, and so on: one that is used again is not the oldest.
        await post(client, third)
        assert [server.connections for server in (first, second, third)] == [2, 2, 2]
        await until(lambda: (first.open, second.open, third.open) == (0, 1, 1))


@on_both_loops
async def test_a_connection_beyond_its_time_is_not_used(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with playing(answering(OK)) as server:
        await post(client, server)
        monkeypatch.setattr(http_client, "IDLE_S", -1.0)
        await post(client, server)
        assert server.connections == 2


# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 301, 304, 307, 308, 400, 404, 410, 429, 500, 503, 599])
@on_both_loops
async def test_every_final_status_is_an_answer_and_redirects_are_not_followed(client: HttpClient, status: int) -> None:
    body = b"" if status in (204, 304) else b"ok"
    length = b"" if status in (204, 304) else b"content-length: 2\r\n"
    answer = b"HTTP/1.1 %d X\r\nlocation: /elsewhere\r\nretry-after: 7\r\n%s\r\n%s" % (status, length, body)
    async with playing(answering(answer)) as server:
        for _ in range(2):
            got = await post(client, server)
            assert (got.status, got.body, got.headers["retry-after"]) == (status, body, "7")
        assert len(server.requests) == 2
        assert server.connections == 1


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]
)
@pytest.mark.parametrize("times", [1, 3])
@on_both_loops
async def test_interim_answers_are_passed_over(client: HttpClient, interim: bytes, times: int) -> None:
    async with playing(answering(interim * times + OK)) as server:
        for _ in range(2):
            answer = await post(client, server)
            assert (answer.status, answer.body) == (200, b"ok")
            assert "link" not in answer.headers
        assert server.connections == 1


@on_both_loops
async def test_interim_answers_without_end_fail(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
            await writer.drain()

    async with playing(script) as server:
        with pytest.raises(AttemptFailed, match="bytes of headers"):
            await post(client, server)


@on_both_loops
async def test_a_change_of_protocol_fails(client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x00"
    async with playing(answering(answer)) as server:
        with pytest.raises(AttemptFailed, match="changes the protocol"):
            await post(client, server)
        await until(lambda: server.open == 0)
    assert "exception" not in caplog.text.lower()


@on_both_loops
async def test_a_chunked_answer_is_read_to_its_end(client: HttpClient) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with playing(answering(head + b"3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n")) as server:
        for _ in range(3):
            assert (await post(client, server)).body == b"abcdefg"
        assert server.connections == 1


@on_both_loops
async def test_a_body_without_length_ends_with_its_connection(client: HttpClient) -> None:
    async with playing(closing(b"HTTP/1.1 200 OK\r\n\r\n", b"some ", b"text")) as server:
        assert (await post(client, server)).body == b"some text"
        assert (await post(client, server)).body == b"some text"
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
@on_both_loops
async def test_an_answer_that_breaks_off_has_failed(client: HttpClient, answer: bytes) -> None:
    async with playing(closing(answer)) as server:
        with pytest.raises(AttemptFailed, match="middle of the answer"):
            await post(client, server)
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\na\x00b: 1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
@on_both_loops
async def test_what_is_not_http_has_failed(client: HttpClient, answer: bytes) -> None:
    async with playing(answering(answer)) as server:
        with pytest.raises(AttemptFailed, match="not an HTTP answer"):
            await post(client, server)
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("head", [b"content-length: 10000000\r\n", b""])
@on_both_loops
async def test_of_a_large_body_the_beginning_is_kept_and_the_connection_is_cut(client: HttpClient, head: bytes) -> None:
    sent = 0

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n" % head)
        for _ in range(10_000):
            writer.write(b"x" * 1000)
            await writer.drain()
            sent += 1000

    async with playing(script) as server:
        answer = await post(client, server)
        assert (answer.status, answer.body) == (200, b"x" * 4096)
        await until(lambda: server.open == 0)
        assert sent < 10_000_000


@on_both_loops
async def test_a_body_at_the_limit_keeps_its_connection(client: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 16384\r\n\r\n" + b"x" * 16384
    async with playing(answering(answer)) as server:
        for _ in range(3):
            assert (await post(client, server)).body == b"x" * 4096
        assert server.connections == 1


@on_both_loops
async def test_a_compressed_body_is_not_inflated(client: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00"
    async with playing(answering(answer)) as server:
        assert (await post(client, server)).body == b"\x1f\x8b\x08\x00"


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-long: ", b"y" * 1000),
        (b"HTTP/1.1 200 ", b"y" * 1000),
    ],
)
@on_both_loops
async def test_headers_without_end_fail(client: HttpClient, head: bytes, more: bytes) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(head)
        while True:
            writer.write(more)
            await writer.drain()

    async with playing(script) as server:
        with pytest.raises(AttemptFailed, match=r"bytes of headers|not an HTTP answer"):
            await post(client, server)


@pytest.mark.parametrize("more", [b"x-more: 1\r\n" * 100, b"y" * 1000])
@on_both_loops
async def test_trailers_without_end_are_cut_where_the_status_is_known(client: HttpClient, more: bytes) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: ")
        while True:
            writer.write(more)
            await writer.drain()

    async with playing(script) as server:
        answer = await post(client, server)
        assert (answer.status, answer.body) == (200, b"ok")
        await until(lambda: server.open == 0)


# One deadline


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nx-slow: " + b"y" * 1000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 1000,
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"y" * 1000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 200,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
)
@on_both_loops
async def test_one_deadline_covers_slow_headers_and_slow_bodies(client: HttpClient, answer: bytes) -> None:
    client.timeout_s = 0.3
    async with playing(dripping(answer, 0.005)) as server:
        started = time.monotonic()
        with pytest.raises(AttemptFailed, match=r"within 0\.3 s"):
            await post(client, server)
        assert 0.29 <= time.monotonic() - started < 1.0


@on_both_loops
async def test_a_slow_answer_within_the_deadline_is_an_answer(client: HttpClient) -> None:
    async with playing(dripping(OK, 0.005)) as server:
        for _ in range(2):
            assert (await post(client, server)).body == b"ok"


@on_both_loops
async def test_a_server_that_never_reads_and_never_answers_meets_the_deadline(client: HttpClient) -> None:
    client.timeout_s = 0.3

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)

    async with playing(script) as server:
        with pytest.raises(AttemptFailed, match="within"):
            await post(client, server, b"x" * 50_000_000)


@on_both_loops
async def test_a_deadline_in_the_handshake_leaves_no_socket_behind(client: HttpClient) -> None:
    client.timeout_s = 0.2

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # a TLS server that says nothing, until the client closes

    async with playing(script) as server:
        target = Target.of(f"https://127.0.0.1:{server.target.port}/")
        with pytest.raises(AttemptFailed, match="within"):
            await client.post(target, {}, b"")
        await until(lambda: server.connections == 1 and server.open == 0)


@on_both_loops
async def test_a_look_up_that_hangs_meets_the_deadline_and_stops_nobody_else(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten dead names, with five requests each: more than the event loop has threads for look-ups."""
    answered = threading.Event()
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def slow(host: str, *args: object, **kwargs: object) -> object:
        if host.endswith(".invalid"):
            asked.append(host)
            answered.wait(10)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client.timeout_s = 0.5
    try:
        async with playing(answering(OK)) as server:
            dead = [
                asyncio.ensure_future(client.post(Target.of(f"http://dead-{n % 10}.invalid/"), {}, b""))
                for n in range(50)
            ]
            await until(lambda: len(asked) == 10)
            started = time.monotonic()
            target = Target.of(f"http://localhost:{server.target.port}/")
            assert (await client.post(target, {}, b"")).status == 200
            assert time.monotonic() - started < 0.3
            for task in dead:
                with pytest.raises(AttemptFailed, match=r"within 0\.5 s"):
                    await task
            assert len(asked) == 10
    finally:
        answered.set()


# The network


@on_both_loops
async def test_a_port_where_nobody_listens_has_failed_at_once(client: HttpClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = Target.of(f"http://127.0.0.1:{free.getsockname()[1]}/")
        with pytest.raises(AttemptFailed, match="Connection refused"):
            await client.post(target, {}, b"")


@on_both_loops
async def test_a_name_that_is_not_known_has_failed(client: HttpClient) -> None:
    with pytest.raises(AttemptFailed, match=r"no-such-host\.invalid could not be looked up"):
        await client.post(Target.of("http://no-such-host.invalid/"), {}, b"")


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory: Path = tmp_path_factory.mktemp("tls")
    path = directory / "both.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@on_both_loops
async def test_a_certificate_that_nobody_vouches_for_is_refused(
    client: HttpClient, self_signed: ssl.SSLContext
) -> None:
    async with playing(answering(OK), tls=self_signed) as server:
        target = Target.of(f"https://localhost:{server.target.port}/")
        with pytest.raises(AttemptFailed, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await client.post(target, {}, b"")
        assert server.requests == []


@on_both_loops
async def test_a_plain_server_behind_an_https_url_has_failed(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with playing(script) as server:
        with pytest.raises(AttemptFailed):
            await client.post(Target.of(f"https://127.0.0.1:{server.target.port}/"), {}, b"")


@on_both_loops
async def test_a_cancelled_request_closes_its_connection(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        await reader.read()

    async with playing(script) as server:
        task = asyncio.ensure_future(post(client, server))
        await until(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.open == 0)


@on_both_loops
async def test_nothing_is_left_open_after_every_kind_of_end(client: HttpClient) -> None:
    kinds = [
        answering(OK),
        closing(OK),
        closing(),
        closing(b"HTTP/1.1 200 OK\r\n\r\nx"),
        answering(b"garbage\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000),
        dripping(b"HTTP/1.1 200 OK\r\n" + b"x" * 1000, 0.01),
    ]
    gc.collect()
    before = _sockets()
    for kind in kinds:
        own = HttpClient(0.2, guard=LOOPBACK)
        async with playing(kind) as server:
            for _ in range(3):
                await asyncio.gather(*(post(own, server) for _ in range(5)), return_exceptions=True)
            own.close()
            await until(lambda: server.open == 0)
    await until(lambda: _sockets() <= before)
