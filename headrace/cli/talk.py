"""How the commands talk to a gateway: with a client, to an end that is one clear line and never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headrace.client import Client

Url = Annotated[
    str | None, typer.Option(help="The gateway: HEADRACE_URL, else http://127.0.0.1:8080.", show_default=False)
]

START_ONE = "Start one: `headrace gateway`, or all of Headrace: `headrace up`. --url or HEADRACE_URL names another."


class Failure(Exception):
    """A command cannot go on; the text is for the user."""


def talk(url: str | None, work: Callable[[Client], Awaitable[None]]) -> None:
    """Do the work with a client that does not wait for a gateway that is away.

    Ctrl-C, SIGTERM and a closed pipe end it early, and that is no error. Raises `typer.Exit` 1 after telling stderr
    what went wrong.
    """
    try:
        asyncio.run(_talk(url, work))
    except Failure as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except BrokenPipeError:
        _discard_stdout()


async def _talk(url: str | None, work: Callable[[Client], Awaitable[None]]) -> None:
    from headrace.client import Client, FeedNotFound, HeadraceError, OffsetGone, Unreachable
    from headrace.settings import ClientSettings

    _end_early()
    try:
        settings = ClientSettings()
        key = None if settings.api_key is None else settings.api_key.get_secret_value()
        client = Client(url or settings.url, key=key, patience_s=0.0)
    except ValueError as error:
        raise Failure(f"{error}. Check --url and HEADRACE_URL.") from None
    async with client:
        try:
            await work(client)
        except FeedNotFound as error:
            names = [feed.name for feed in await client.feeds() if not feed.name.endswith(".dead")]
            raise Failure(f"{error}\nThe feeds are: {', '.join(names)}") from None
        except Unreachable as error:
            raise Failure(f"{error}\n{START_ONE}") from None
        except OffsetGone as error:
            raise Failure(f"{error}\nThe earliest offset is {error.earliest_offset}: give it with --from.") from None
        except HeadraceError as error:
            raise Failure(told(error)) from None


def told(error: Exception) -> str:
    """The error's text, with each fault that it names on a line of its own."""
    from headrace.client import BadRequest

    faults = error.errors if isinstance(error, BadRequest) else []
    lines = [f"  {fault.get('pointer', '')} {fault['detail']}" for fault in faults if "detail" in fault]
    return "\n".join([str(error), *lines])


def _end_early() -> None:
    """Cancel the running task on SIGTERM, and when nobody reads stdout's pipe any more."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(OSError, ValueError):  # stdout may be closed, or not be a file at all
        descriptor = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            # The writing end of a pipe becomes "readable" only when its reader has gone.
            loop.add_reader(descriptor, _unread, loop, descriptor, task)


def _unread(loop: asyncio.AbstractEventLoop, descriptor: int, task: asyncio.Task[None]) -> None:
    loop.remove_reader(descriptor)
    _discard_stdout()
    task.cancel()


def _discard_stdout() -> None:
    """Nobody reads it: what is still in its buffer would fail once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
