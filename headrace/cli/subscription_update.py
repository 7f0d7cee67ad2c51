"""`headrace subscriptions update`: change what was chosen of a subscription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli import endpoint_credentials as credentials
from headrace.cli import subscription_options as options
from headrace.cli.subscription_id import Id, Json
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client


def update(
    id_: Id,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Where its events are posted.", show_default=False)
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEMBER",
            help="Take it back to its default, such as filter, auth or labels.team; may be repeated.",
            show_default=False,
        ),
    ] = None,
    if_match: Annotated[
        str | None,
        typer.Option(metavar="ETAG", help="Only if nobody changed it since: the etag of show.", show_default=False),
    ] = None,
    description: options.Description = None,
    label: options.Labels = None,
    file: options.File = None,
    type_: options.Types = None,
    filter_: options.Filter = None,
    ordering: options.Order = None,
    rate: options.Rate = None,
    max_in_flight: options.MaxInFlight = None,
    batch: options.BatchEvents = None,
    batch_wait_ms: options.BatchWait = None,
    content_mode: options.Mode = None,
    auth: credentials.Auth = None,
    token_url: credentials.TokenUrl = None,
    scope: credentials.Scope = None,
    header: credentials.Headers = None,
    header_from: credentials.SecretHeaders = None,
    ca: credentials.Ca = None,
    certificate: credentials.Certificate = None,
    key: credentials.Key = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Change a subscription and print it; what you do not name stays, and so does its position.

    Labels are added to those it has. Types, headers and certificates take the place of all it has.
    """
    given: dict[str, Any] = {} if endpoint is None else {"url": endpoint}
    given |= options.options(
        description=description,
        label=label,
        type_=type_,
        filter_=filter_,
        ordering=ordering,
        rate=rate,
        max_in_flight=max_in_flight,
        batch=batch,
        batch_wait_ms=batch_wait_ms,
        content_mode=content_mode,
    )
    given |= credentials.credentials(
        auth=auth,
        token_url=token_url,
        scope=scope,
        header=header,
        header_from=header_from,
        ca=ca,
        certificate=certificate,
        key=key,
    )
    changes = options.merged(options.merged(options.from_file(file), given), _removed(unset or []))
    if not changes:
        raise typer.BadParameter("name something to change; --help lists what there is")
    talk(url, lambda client: _update(client, id_, changes, if_match, json))


def _removed(members: Sequence[str]) -> dict[str, Any]:
    """The merge patch that removes members, or members of members."""
    patch: dict[str, Any] = {}
    for member in members:
        name, _, inner = member.partition(".")
        if not inner:
            patch[name] = None
        elif patch.setdefault(name, {}) is not None:
            patch[name][inner] = None
    return patch


async def _update(client: Client, id_: str, changes: dict[str, Any], etag: str | None, json: bool) -> None:
    from headrace.cli.subscription_view import print_one

    print_one(await client.subscriptions.update(id_, changes, etag=etag), json)
