"""Opening connections: the name looked up, its addresses vetted, and one of them dialled."""

from __future__ import annotations

import asyncio
import os
import ssl
import time

from headrace.consumers.relay.connection import AttemptFailed, Connection, ErrorClass, Phases
from headrace.consumers.relay.guard import Forbidden, Guard
from headrace.consumers.relay.resolver import Resolver, Unresolved
from headrace.consumers.relay.target import Target, is_address
from headrace.consumers.relay.tls import context_of

MAX_ADDRESSES = 8
"""Of a name with more, the first ones are dialled; all are vetted."""


class Dialler:
    """Opens connections to vetted addresses only. What is vetted is dialled: there is no look-up in between."""

    def __init__(self, guard: Guard, connect_timeout_s: float) -> None:
        self._guard = guard
        self._connect_timeout_s = connect_timeout_s
        self._resolver = Resolver()

    async def vet(self, target: Target) -> list[str]:
        """The addresses of a target, all of which may be dialled. Raises `Forbidden` and `Unresolved`.

        The reasons are for whoever named the host: they don't tell where a name leads.
        """
        if is_address(target.host):
            self._guard.check(target.host, target.port)
            return [target.host]
        self._guard.check_port(target.port)
        addresses = await self._resolver.addresses(target.host)
        # One is enough to refuse them all: who answers so may answer otherwise when it is asked next.
        if any(self._guard.refusal(address) is not None for address in addresses):
            raise Forbidden(
                f"{target.host} leads to an address that is not public, and webhooks go to public addresses"
            )
        return addresses

    async def open(self, target: Target, deadline_s: float, phases: Phases) -> Connection:
        """A new connection. `deadline_s` is of the loop's clock. Raises `AttemptFailed` and `TimeoutError`.

        Every address has its share of what is left of the time to connect.
        """
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout_at(deadline_s):
                addresses = (await self.vet(target))[:MAX_ADDRESSES]
        except Forbidden as error:
            raise AttemptFailed(str(error), "forbidden") from None
        except Unresolved as error:
            raise AttemptFailed(str(error), "dns") from None
        dialled_s = time.perf_counter()
        phases.dns_s = dialled_s - started_s
        now = asyncio.get_running_loop().time
        limit_s = min(now() + self._connect_timeout_s, deadline_s)
        failed: AttemptFailed | None = None
        for left in range(len(addresses), 0, -1):
            try:
                async with asyncio.timeout_at(now() + (limit_s - now()) / left):
                    return await self._dial(target, addresses[-left], dialled_s, phases)
            except TimeoutError:
                # By the limits, not by the clock: a timer may ring a little early.
                if now() >= deadline_s or (left == 1 and limit_s == deadline_s):
                    raise
                failed = failed or AttemptFailed(
                    f"no connection within {self._connect_timeout_s:g} s", "connect_timeout"
                )
            except AttemptFailed as error:
                failed = failed or error
        assert failed is not None
        raise failed

    async def _dial(self, target: Target, address: str, dialled_s: float, phases: Phases) -> Connection:
        try:
            # Not by a socket of ours: uvloop closes its descriptor twice when cancelled (MagicStack/uvloop#738).
            transport, connection = await asyncio.get_running_loop().create_connection(Connection, address, target.port)
        except OSError as error:
            # The system's words: those of asyncio tell the address.
            why = os.strerror(error.errno) if error.errno is not None else type(error).__name__
            raise AttemptFailed(f"no connection: {why}", _class_of(error)) from None
        connected_s = time.perf_counter()
        phases.connect_s = connected_s - dialled_s
        if target.tls:
            try:
                await _secure(target, transport, connection)
            except BaseException:
                transport.abort()
                raise
            phases.tls_s = time.perf_counter() - connected_s
        return connection

    def close(self) -> None:
        """Begin no look-up any more."""
        self._resolver.close()


async def _secure(target: Target, transport: asyncio.Transport, connection: Connection) -> None:
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport, connection, context_of(target.identity), server_hostname=target.server_name
        )
    except ssl.SSLCertVerificationError as error:
        raise AttemptFailed(f"TLS: {error.reason}: {error.verify_message}", "tls") from None
    except ssl.SSLError as error:
        raise AttemptFailed(f"TLS: {error.reason or error}", "tls") from None
    except ValueError as error:  # an identity that OpenSSL does not take
        raise AttemptFailed(f"TLS: {error}", "tls") from None
    except OSError:
        raise AttemptFailed("TLS: the connection was closed in the handshake", "tls") from None
    if secured is None or secured.is_closing():
        raise AttemptFailed("TLS: the connection was closed in the handshake", "tls")
    connection.connection_made(secured)


def _class_of(error: OSError) -> ErrorClass:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    return "unreachable"
