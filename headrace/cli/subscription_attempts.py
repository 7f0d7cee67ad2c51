"""`headrace subscriptions attempts`: each attempt to deliver an event, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.start import From, Start, parse_start
from headrace.cli.subscription_id import Id, Json
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client


Outcome = Literal["done", "retry", "retry_short", "dead_letter", "disable"]


def attempts(
    id_: Id,
    from_: From = "-1",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new one.")] = False,
    outcome: Annotated[Outcome | None, typer.Option(help="Only those that ended so.", show_default=False)] = None,
    event: Annotated[
        str | None, typer.Option(metavar="EVENT_ID", help="Only those of this event.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many.", show_default=False)] = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Print the attempts to deliver events: when, which event, what was answered, when it is tried again."""
    start = parse_start(from_)
    talk(url, lambda client: _attempts(client, id_, start, outcome, event, follow, limit, json))


async def _attempts(
    client: Client,
    id_: str,
    start: Start,
    outcome: Outcome | None,
    event: str | None,
    follow: bool,
    limit: int | None,
    json: bool,
) -> None:
    from headrace.cli.attempt_view import printer

    show = printer(json)
    # A gateway that is not there from the beginning is told at once; one that goes away is waited for.
    await client.subscriptions.get(id_)
    found = client.subscriptions.attempts(
        id_, **start, outcome=outcome, event_id=event, follow=follow, max_attempts=limit
    )
    async for attempt in found:
        show(attempt)
