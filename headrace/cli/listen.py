"""`headrace listen`: a local webhook receiver that verifies signatures and prints what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.start import From, Start, parse_start
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.cli.receiver import Receiver
    from headrace.client import Client


def listen(
    feed: Annotated[
        str | None, typer.Argument(help="Subscribe to this feed while listening.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 9000,
    host: Annotated[str, typer.Option(help="The address to listen on; the relay must reach it.")] = "127.0.0.1",
    secret: Annotated[
        str | None,
        typer.Option(
            # Other users of the machine see arguments, and not the environment.
            envvar="HEADRACE_LISTEN_SECRET",
            help="The whsec_ secret, or the whpk_ public key, of a subscription of your own.",
            show_default=False,
        ),
    ] = None,
    from_: From = "now",
    json: Annotated[bool, typer.Option("--json", help="All of each event, as JSON.")] = False,
    url: Url = None,
) -> None:
    """Receive webhooks here: verify each signature, print each event, and a summary at the end (Ctrl-C).

    With FEED it subscribes itself to the feed, and deletes the subscription at the end. Without FEED it is the
    receiver of a subscription that you have: give its secret, best in HEADRACE_LISTEN_SECRET.
    """
    start = parse_start(from_)
    if (feed is None) == (secret is None):
        raise typer.BadParameter("give a feed to subscribe to, or the --secret of a subscription that you have")
    if secret is not None:
        _check(secret)
    talk(url, lambda client: _listen(client, feed, host, port, secret, start, json))


def _check(secret: str) -> None:
    from headrace.signing import check_key

    try:
        check_key(secret)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from None


async def _listen(
    client: Client, feed: str | None, host: str, port: int, secret: str | None, start: Start, json: bool
) -> None:
    from headrace.cli.arrivals import printer
    from headrace.cli.receiver import Receiver

    receiver = Receiver(printer(json))
    try:
        await _receive(receiver, client, feed, host, port, secret, start)
    except asyncio.CancelledError:
        counts = receiver.counts
        typer.echo(f"{counts.events} events, {counts.repeats} repeats, {counts.refused} refused.", err=True)
        raise


async def _receive(
    receiver: Receiver, client: Client, feed: str | None, host: str, port: int, secret: str | None, start: Start
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(receiver.listening(host, port))
        except OSError as error:
            raise Failure(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port.") from None
        endpoint = _endpoint(host, port)
        if secret is not None:
            receiver.trust(secret)
            typer.echo(f"Listening on {endpoint} (Ctrl-C ends).", err=True)
        elif feed is not None:
            await stack.enter_async_context(_subscribed(client, feed, endpoint, start, receiver))
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _subscribed(
    client: Client, feed: str, endpoint: str, start: Start, receiver: Receiver
) -> AsyncIterator[None]:
    """A subscription for as long as this listens."""
    from headrace.client import SubscriptionNotFound, Unavailable

    await client.feed(feed)
    # A name of our own: so it can be deleted even when the answer that creates it is never seen.
    name = f"listen-{secrets.token_hex(6)}"
    try:
        made = await client.subscriptions.create(
            feed, endpoint, name=name, description=f"headrace listen on {socket.gethostname()}", **start
        )
        receiver.trust(made.secret or "")
        typer.echo(f"Subscribed to {feed} as {name}. Listening on {endpoint} (Ctrl-C ends both).", err=True)
        watch = asyncio.create_task(_say_if_nobody_runs(client, name))
        try:
            yield
        finally:
            watch.cancel()
    finally:
        try:
            await client.subscriptions.delete(name)
        except SubscriptionNotFound:
            pass
        except Unavailable as error:
            hint = f"It stays until you do: headrace subscriptions delete {name}"
            typer.echo(f"The subscription could not be deleted. {error}\n{hint}", err=True)


async def _say_if_nobody_runs(client: Client, name: str) -> None:
    from headrace.client import HeadraceError

    with contextlib.suppress(HeadraceError):
        if (await client.subscriptions.get(name)).status is None:
            typer.echo("No relay runs the subscription yet; start one with `headrace relay`.", err=True)


def _endpoint(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
