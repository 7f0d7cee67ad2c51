"""Endpoints with TLS, good and bad: whom the relay trusts, and who it says it is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support.certificates import Authority, Issued, self_signed
from support.scripted import OK, Server, answering, on_both_loops, playing
from support.waiting import until

from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target
from headrace.consumers.relay.tls import Tls

DAYS = datetime.timedelta(days=10)
AUTHORITY = Authority()
STRANGERS = Authority("of strangers")
SERVER = AUTHORITY.issue("localhost", "127.0.0.1").server()
TRUSTING = Tls(ca=AUTHORITY.pem)


def client_of(authority: Authority, name: str) -> Tls:
    issued = authority.issue(subject=name)
    return Tls(issued.certificate, issued.key, AUTHORITY.pem)


def target(server: Server, identity: Tls | None = TRUSTING, host: str = "localhost") -> Target:
    return Target.of(f"https://{host}:{server.target.port}/", identity)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@on_both_loops
async def test_an_authority_of_its_own_makes_an_endpoint_trusted(client: HttpClient, host: str) -> None:
    async with playing(answering(OK), tls=SERVER) as server:
        answer = await client.post(target(server, host=host), {}, b"")
        assert answer.status == 200
        assert answer.phases.tls_s > 0.0
        again = await client.post(target(server, host=host), {}, b"")
        assert again.phases.tls_s == 0.0
        assert server.connections == 1


@pytest.mark.parametrize(
    ("issued", "why"),
    [
        (AUTHORITY.issue("localhost", begins=-DAYS, ends=-DAYS / 2), "certificate has expired"),
        (AUTHORITY.issue("localhost", begins=DAYS, ends=2 * DAYS), "not yet valid"),
        (AUTHORITY.issue("other.example"), "Hostname mismatch"),
        (AUTHORITY.issue("*.localhost"), "Hostname mismatch"),
        (AUTHORITY.issue("127.0.0.1"), "Hostname mismatch"),
        (AUTHORITY.issue(subject="localhost"), "Hostname mismatch"),
        (STRANGERS.issue("localhost"), "unable to get local issuer certificate"),
        (self_signed("localhost"), "self-signed certificate"),
    ],
)
@on_both_loops
async def test_a_bad_certificate_is_refused_before_anything_is_sent(
    client: HttpClient, issued: Issued, why: str
) -> None:
    async with playing(answering(OK), tls=issued.server()) as server:
        with pytest.raises(AttemptFailed, match=why) as failed:
            await client.post(target(server), {}, b"")
        assert failed.value.error_class == "tls"
        assert server.requests == []
        await until(lambda: server.open == 0)


@on_both_loops
async def test_without_an_authority_of_its_own_only_the_systems_count(client: HttpClient) -> None:
    async with playing(answering(OK), tls=SERVER) as server:
        with pytest.raises(AttemptFailed, match="unable to get local issuer certificate"):
            await client.post(target(server, None), {}, b"")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
@on_both_loops
async def test_a_version_of_tls_that_is_too_old_is_refused(client: HttpClient, version: ssl.TLSVersion) -> None:
    old = AUTHORITY.issue("localhost").server()
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    async with playing(answering(OK), tls=old) as server:
        with pytest.raises(AttemptFailed) as failed:
            await client.post(target(server), {}, b"")
        assert failed.value.error_class == "tls"
        assert server.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_both_loops
async def test_a_client_certificate_is_shown_and_its_lack_is_told(client: HttpClient, version: ssl.TLSVersion) -> None:
    """Where TLS 1.3 refuses a client, it does so after the handshake."""
    context = AUTHORITY.issue("localhost").server(clients_of=AUTHORITY.pem)
    context.minimum_version = context.maximum_version = version
    shown: list[str] = []

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subject"][0][0][1])
        await answering(OK)(server, reader, writer)

    async with playing(script, tls=context) as server:
        assert (await client.post(target(server, client_of(AUTHORITY, "relay")), {}, b"")).status == 200
        assert shown == ["relay"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("identity", [TRUSTING, client_of(STRANGERS, "stranger")], ids=["none", "a stranger's"])
@on_both_loops
async def test_a_client_certificate_that_is_missing_or_not_trusted_is_told(
    client: HttpClient, version: ssl.TLSVersion, identity: Tls
) -> None:
    """With TLS 1.3 the alert comes after the handshake. asyncio's own server closes without one, so this is another."""
    context = AUTHORITY.issue("127.0.0.1").server(clients_of=AUTHORITY.pem)
    context.minimum_version = context.maximum_version = version

    def refuse(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as secured:
            with contextlib.suppress(ssl.SSLError):
                secured.do_handshake()
            with contextlib.suppress(ConnectionError):
                while os.read(secured.fileno(), 1000):  # else the system resets, and the alert may get lost
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        refusing = asyncio.ensure_future(asyncio.to_thread(refuse, listening))
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(
            AttemptFailed, match=r"TLS: .*(CERTIFICATE_REQUIRED|UNKNOWN_CA|HANDSHAKE_FAILURE)"
        ) as failed:
            await client.post(Target.of(url, identity), {}, b"{}")
        assert failed.value.error_class == "tls"
        await refusing


@on_both_loops
async def test_a_client_key_that_is_too_weak_is_told_at_registration_and_at_delivery(client: HttpClient) -> None:
    weak = AUTHORITY.issue("relay", key=rsa.generate_private_key(65537, 1024))
    async with playing(answering(OK), tls=SERVER) as server:
        where = target(server, Tls(weak.certificate, weak.key, AUTHORITY.pem))
        with pytest.raises(ValueError, match="the client certificate can't be used"):
            await client.vet(where)
        with pytest.raises(AttemptFailed, match="the client certificate can't be used") as failed:
            await client.post(where, {}, b"")
        assert failed.value.error_class == "tls"
        await until(lambda: server.open == 0)


@on_both_loops
async def test_connections_are_not_shared_between_identities(client: HttpClient) -> None:
    context = AUTHORITY.issue("localhost").server(clients_of=AUTHORITY.pem)
    asked_as: list[str] = []

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            asked_as.append(writer.get_extra_info("peercert")["subject"][0][0][1])
            writer.write(OK)

    async with playing(script, tls=context) as server:
        first, second = client_of(AUTHORITY, "first"), client_of(AUTHORITY, "second")
        for identity in (first, second, first, second):
            await client.post(target(server, identity), {}, b"")
        assert asked_as == ["first", "second", "first", "second"]
        assert server.connections == 2


@on_both_loops
async def test_a_server_that_closes_in_the_handshake_has_failed_of_tls(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async with playing(script) as server:
        with pytest.raises(AttemptFailed) as failed:
            await client.post(target(server), {}, b"")
        assert failed.value.error_class == "tls"
        await until(lambda: server.open == 0)


@on_both_loops
async def test_a_server_that_speaks_first_has_failed_of_tls(client: HttpClient) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async with playing(script) as server:
        with pytest.raises(AttemptFailed) as failed:
            await client.post(target(server), {}, b"")
        assert failed.value.error_class == "tls"
        await until(lambda: server.open == 0)
