"""`headrace work`: a command for each event of a pull subscription."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from headrace.cli.subscription_id import Id
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.client import Client, Event


def work(
    subscription: Id,
    command: Annotated[
        str,
        typer.Option("--exec", metavar="CMD", help="It gets the event as JSON on its stdin.", show_default=False),
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="So many commands at a time.")] = 1,
    lease: Annotated[
        float, typer.Option(min=1, help="Seconds after which another worker gets an event when this one has died.")
    ] = 30.0,
    url: Url = None,
) -> None:
    """Run a command for each event of a pull subscription, until Ctrl-C.

    Where it ends with 0 the event is done; else, or when it cannot be run, the event comes again after a while. The
    event is on its stdin, one CloudEvent as JSON; HEADRACE_EVENT_ID and HEADRACE_EVENT_TYPE are set. Start as many
    workers as you like: they share the events. While the command runs nobody else gets its event.
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise typer.BadParameter(f"{command}: {error}", param_hint="--exec") from None
    if not arguments:
        raise typer.BadParameter("an empty command", param_hint="--exec")
    if shutil.which(arguments[0]) is None:
        raise typer.BadParameter(f"{arguments[0]} is no command that can be run", param_hint="--exec")
    talk(url, lambda client: _work(client, subscription, arguments, concurrency, lease))


async def _work(client: Client, subscription: str, arguments: list[str], concurrency: int, lease_s: float) -> None:
    from headrace.client import Conflict

    # What is wrong from the beginning is told at once; a gateway that goes away later is waited for.
    await client.subscriptions.get(subscription)
    try:
        await client.subscription(subscription).work(
            lambda event: _run(arguments, event), concurrency=concurrency, lease_s=lease_s
        )
    except Conflict as error:
        raise Failure(str(error)) from None


async def _run(arguments: list[str], event: Event) -> None:
    from headrace.client import Retry

    environ = {**os.environ, "HEADRACE_EVENT_ID": event.id, "HEADRACE_EVENT_TYPE": event.type}
    try:
        process = await asyncio.create_subprocess_exec(*arguments, stdin=asyncio.subprocess.PIPE, env=environ)
    except OSError as error:
        raise Retry(reason=f"{arguments[0]} cannot be run: {error.strerror}") from None
    try:
        # One that does not read it ends as it likes.
        await process.communicate(orjson.dumps(event.raw, option=orjson.OPT_APPEND_NEWLINE))
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode:
        raise Retry(reason=f"{arguments[0]} {_ended(process.returncode)}")


def _ended(status: int) -> str:
    return f"ended with {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
