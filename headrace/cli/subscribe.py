"""`headrace subscribe`: have a feed's events pushed to a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headrace.cli import endpoint_credentials as credentials
from headrace.cli import subscription_options as options
from headrace.cli.start import parse_start
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client


def subscribe(
    feed: Annotated[str | None, typer.Argument(metavar="FEED", help="The feed's name.", show_default=False)] = None,
    endpoint: Annotated[
        str | None, typer.Argument(metavar="URL", help="Where its events are posted.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The subscription's id; one is made where you give none.", show_default=False)
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="now (the default), -1 (the beginning), an offset from a read, or a time like 2026-11-24T09:00:00Z.",
            show_default=False,
        ),
    ] = None,
    description: options.Description = None,
    label: options.Labels = None,
    signing: Annotated[
        Literal["hmac", "ed25519"] | None,
        typer.Option(help="A shared secret (the default), or a key pair.", show_default=False),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only if the endpoint agrees (CloudEvents' webhook handshake).")
    ] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="Nothing is pushed: workers lease the events (`headrace work`).")
    ] = False,
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
    json: Annotated[bool, typer.Option("--json", help="JSON, as also where stdout is no terminal.")] = False,
    url: Url = None,
) -> None:
    """Create a subscription and print it: of webhooks, with the secret that signs its pushes, or with --pull.

    FEED and URL may be in --file, too, with all that there is no option for: retries, projection, limits of failure.
    """
    given: dict[str, Any] = {"feed": feed, "url": endpoint, "name": name, "signing": signing}
    given = {member: value for member, value in given.items() if value is not None}
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
    wanted = options.merged(options.from_file(file), given)
    if verify:
        wanted["verify"] = True
    if from_ is not None:
        wanted = {member: value for member, value in wanted.items() if member not in ("from", "offset")}
        wanted |= parse_start(from_)
    elif "from_time" in wanted:
        raise typer.BadParameter("it says from_time; the API has from", param_hint="--file")
    if pull:
        wanted["mode"] = "pull"
    pushed = wanted.get("mode") != "pull"
    for member, hint in (("feed", "FEED"), ("url", "URL")) if pushed else (("feed", "FEED"),):
        if not isinstance(wanted.get(member), str):
            raise typer.BadParameter("give it, or a --file that has it", param_hint=hint)
    wanted |= credentials.credentials(
        auth=auth,
        token_url=token_url,
        scope=scope,
        header=header,
        header_from=header_from,
        ca=ca,
        certificate=certificate,
        key=key,
    )
    talk(url, lambda client: _subscribe(client, wanted, json))


async def _subscribe(client: Client, wanted: dict[str, Any], json: bool) -> None:
    from headrace.cli.subscription_view import print_one

    # What it does not know by name goes on to the gateway, which tells what there is.
    made = await client.subscriptions.create(**wanted)
    print_one(made, json)
    if json:
        return
    if made.mode == "pull":
        typer.echo(f"\n  headrace work {made.id} --exec CMD    runs a command for each event", err=True)
        return
    kind = (made.secret or "").partition("_")[0]
    typer.echo(
        f"""
Keep the secret where your receiver finds it: it verifies the webhook-signature header (standardwebhooks.com).
  headrace subscriptions test {made.id}    pushes one signed event of type headrace.test
  headrace subscriptions show {made.id}    shows how far it is, and its last error
  HEADRACE_LISTEN_SECRET={kind}_... headrace listen    receives it, if the URL is one of this machine""",
        err=True,
    )
