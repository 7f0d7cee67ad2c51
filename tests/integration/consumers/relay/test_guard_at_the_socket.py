"""Where the relay's HTTP client goes and where it does not, with real sockets and names that change their addresses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from support.scripted import LOOPBACK, OK, answering, closing, on_both_loops, playing, post
from support.waiting import until

from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.guard import Forbidden, Guard
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.resolver import Unresolved
from headrace.consumers.relay.target import Target

CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
FIRST = Guard([ip_network("127.0.0.1/32")])
"""Lets the client go to 127.0.0.1, but not to 127.0.0.2, where the same servers answer."""


class Names:
    """Answers look-ups of `endpoint.example`, each with the next of some answers, the last for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
        self.asked = 0
        self._answers = answers
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, *args: object, **kwargs: object) -> object:
        if host != "endpoint.example":
            return self._system(host, *args, **kwargs)  # type: ignore[arg-type]
        addresses = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


@on_both_loops
async def test_by_default_this_machine_is_refused_and_sees_no_connection() -> None:
    with contextlib.closing(HttpClient(1.0)) as client:
        async with playing(answering(OK)) as server:
            with pytest.raises(AttemptFailed, match=r"127\.0\.0\.1 is a loopback address") as failed:
                await post(client, server)
            assert failed.value.error_class == "forbidden"
            assert server.connections == 0


NOTATIONS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::1%lo]",
    "[::1%25lo]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "localhost",
    "LocalHost",
    "localhost.",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "%31%32%37.0.0.1",
]


@pytest.mark.parametrize("host", NOTATIONS)
@on_both_loops
async def test_this_machine_is_refused_in_every_notation(host: str) -> None:
    with contextlib.closing(HttpClient(2.0)) as client:
        async with playing(answering(OK)) as server, playing(answering(OK), host="::1") as second:
            for port in (server.target.port, second.target.port):
                try:
                    target = Target.of(f"http://{host}:{port}/")
                except ValueError:
                    continue  # refused when it is registered
                # Some systems don't know the name with the dot.
                with pytest.raises((Forbidden, Unresolved) if host == "localhost." else Forbidden):
                    await client.vet(target)
                with pytest.raises(AttemptFailed) as failed:
                    await client.post(target, {}, b"")
                assert failed.value.error_class in (("forbidden", "dns") if host == "localhost." else ("forbidden",))
            assert server.connections == second.connections == 0


@pytest.mark.parametrize("answer", [["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
@on_both_loops
async def test_one_forbidden_answer_refuses_a_name_as_a_whole(
    answer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, answer)
    with contextlib.closing(HttpClient(1.0, guard=FIRST)) as client:
        async with playing(answering(OK), host="0.0.0.0") as server:
            target = Target.of(f"http://endpoint.example:{server.target.port}/")
            with pytest.raises(
                AttemptFailed, match=r"endpoint\.example leads to an address that is not public"
            ) as failed:
                await client.post(target, {}, b"")
            assert failed.value.error_class == "forbidden"
            assert "127.0.0" not in str(failed.value)
            assert server.connections == 0


@on_both_loops
async def test_what_was_vetted_is_dialled_though_the_name_has_changed_since(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with contextlib.closing(HttpClient(1.0, guard=FIRST)) as client:
        async with playing(answering(CLOSING)) as server:  # on 127.0.0.1 only
            target = Target.of(f"http://endpoint.example:{server.target.port}/")
            assert (await client.post(target, {}, b"")).status == 200
            assert names.asked == 1
            with pytest.raises(AttemptFailed) as failed:
                await client.post(target, {}, b"")
            assert failed.value.error_class == "forbidden"
            assert server.connections == 1


@on_both_loops
async def test_the_connection_that_replaces_a_kept_one_is_vetted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with contextlib.closing(HttpClient(1.0, guard=FIRST)) as client:
        async with playing(closing(OK), host="0.0.0.0") as server:
            target = Target.of(f"http://endpoint.example:{server.target.port}/")
            assert (await client.post(target, {}, b"")).status == 200
            await until(lambda: server.open == 0)
            with pytest.raises(AttemptFailed) as failed:
                await client.post(target, {}, b"")
            assert failed.value.error_class == "forbidden"
            assert server.connections == 1


@on_both_loops
async def test_a_redirect_leads_nowhere(client: HttpClient) -> None:
    async with playing(answering(OK)) as inside:
        location = b"location: http://127.0.0.1:%d/\r\n" % inside.target.port
        moved = b"HTTP/1.1 302 Found\r\n" + location + b"content-length: 0\r\n\r\n"
        async with playing(answering(moved)) as server:
            assert (await post(client, server)).status == 302
            assert inside.connections == 0


@on_both_loops
async def test_a_proxy_in_the_environment_is_not_asked(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with playing(answering(OK)) as proxy, playing(answering(OK)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.target.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.target.port}")
        assert (await post(client, server)).status == 200
        assert (server.connections, proxy.connections) == (1, 0)


@on_both_loops
async def test_a_port_that_is_not_allowed_is_not_dialled() -> None:
    async with playing(answering(OK)) as server, playing(answering(OK)) as other:
        with contextlib.closing(
            HttpClient(1.0, guard=Guard([ip_network("127.0.0.0/8")], [server.target.port]))
        ) as client:
            assert (await post(client, server)).status == 200
            with pytest.raises(AttemptFailed, match="none of those that webhooks may go to") as failed:
                await post(client, other)
            assert failed.value.error_class == "forbidden"
            assert other.connections == 0


# At registration


@on_both_loops
async def test_what_may_be_registered_is_vetted_without_a_connection(client: HttpClient) -> None:
    async with playing(answering(OK)) as server:
        await client.vet(server.target)
        await client.vet(Target.of(f"http://localhost:{server.target.port}/"))
        assert server.connections == 0


@on_both_loops
async def test_the_reason_says_what_a_literal_address_is_and_not_where_a_name_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Names(monkeypatch, ["10.20.30.40"])
    with contextlib.closing(HttpClient(1.0)) as client:
        with pytest.raises(
            ValueError, match=r"^10\.20\.30\.40 is a private address, and webhooks go to public addresses$"
        ):
            await client.vet(Target.of("http://10.20.30.40/"))
        with pytest.raises(
            ValueError, match=r"^endpoint\.example leads to an address that is not public, and webhooks"
        ):
            await client.vet(Target.of("http://endpoint.example/"))


@on_both_loops
async def test_a_name_that_nobody_knows_is_told_from_one_that_is_forbidden(client: HttpClient) -> None:
    with pytest.raises(Unresolved, match=r"no-such-host\.invalid could not be looked up"):
        await client.vet(Target.of("http://no-such-host.invalid/"))


@on_both_loops
async def test_a_look_up_without_an_answer_ends_the_vetting_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(10) and [])
    with contextlib.closing(HttpClient(0.2, guard=LOOPBACK)) as client:
        started = time.monotonic()
        try:
            with pytest.raises(Unresolved, match=r"within 0\.2 s"):
                await client.vet(Target.of("http://endpoint.example/"))
            assert time.monotonic() - started < 1.0
        finally:
            answered.set()


@on_both_loops
async def test_a_name_without_addresses_has_failed(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, [])
    with pytest.raises(AttemptFailed, match="has no address") as failed:
        await client.post(Target.of("http://endpoint.example/"), {}, b"")
    assert failed.value.error_class == "dns"
