"""What lets pushes in at their endpoint, on the command line; secrets never are on it, as others see it in `ps`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.subscription_options import pairs

VARIABLE = "HEADRACE_ENDPOINT_SECRET"
"""The variable that holds a password, token or client secret."""

KINDS = "basic:USER, bearer, or oauth2:CLIENT_ID"
PANEL = "What lets it in at the endpoint"

Auth = Annotated[
    str | None,
    typer.Option(
        "--auth",
        metavar="KIND",
        help=f"{KINDS}. Its password, token or client secret is asked for, or taken from {VARIABLE}.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
TokenUrl = Annotated[
    str | None,
    typer.Option("--token-url", help="Where oauth2 has its tokens from.", show_default=False, rich_help_panel=PANEL),
]
Scope = Annotated[
    str | None,
    typer.Option("--scope", help="What oauth2 asks for.", show_default=False, rich_help_panel=PANEL),
]
Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="NAME=VALUE",
        help="A header of every request; may be repeated. Others on this machine may see it.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
SecretHeaders = Annotated[
    list[str] | None,
    typer.Option(
        "--header-from",
        metavar="NAME=VARIABLE",
        help="The same, with a value that is in an environment variable.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", help="Trust certificates of this authority (PEM).", show_default=False, rich_help_panel=PANEL),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", help="Show this certificate (PEM).", show_default=False, rich_help_panel=PANEL),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="The key of the certificate (PEM).", show_default=False, rich_help_panel=PANEL),
]


def credentials(
    *,
    auth: str | None,
    token_url: str | None,
    scope: str | None,
    header: Sequence[str] | None,
    header_from: Sequence[str] | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> dict[str, Any]:
    """The members that were given; raises `typer.BadParameter`. May ask for a secret."""
    headers = pairs(header or [], "--header")
    headers |= {name: _of_environment(variable) for name, variable in pairs(header_from or [], "--header-from").items()}
    files = {"ca": ca, "certificate": certificate, "key": key}
    tls = {name: _pem(file, f"--{name}") for name, file in files.items() if file is not None}
    members = {"auth": _auth(auth, token_url, scope), "headers": headers, "tls": tls}
    return {name: value for name, value in members.items() if value}


def _auth(text: str | None, token_url: str | None, scope: str | None) -> dict[str, str]:
    kind, colon, who = (text or "").partition(":")
    if kind != "oauth2" and (token_url or scope):
        raise typer.BadParameter("--token-url and --scope go with --auth oauth2:CLIENT_ID")
    if text is None:
        return {}
    if kind == "basic" and who:
        if ":" in who:
            raise typer.BadParameter(
                f"a password is not given here, but asked for or in {VARIABLE}", param_hint="--auth"
            )
        return {"type": "basic", "username": who, "password": _secret(f"Password of {who}")}
    if kind == "bearer" and not colon:
        return {"type": "bearer", "token": _secret("Token")}
    if kind == "oauth2" and who:
        if token_url is None:
            raise typer.BadParameter("oauth2 needs its --token-url", param_hint="--auth")
        asked = {} if scope is None else {"scope": scope}
        secret = _secret(f"Client secret of {who}")
        return {"type": "oauth2", "token_url": token_url, "client_id": who, "client_secret": secret, **asked}
    raise typer.BadParameter(f"it is {KINDS}", param_hint="--auth")


def _secret(prompt: str) -> str:
    if secret := os.environ.get(VARIABLE):
        return secret
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is nobody to ask for the secret: put it into {VARIABLE}", param_hint="--auth")
    answer: str = typer.prompt(prompt, hide_input=True, err=True)
    return answer


def _of_environment(variable: str) -> str:
    if not (value := os.environ.get(variable)):
        raise typer.BadParameter(f"the environment variable {variable} is not set", param_hint="--header-from")
    return value


def _pem(file: Path, option: str) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint=option) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not PEM", param_hint=option) from None
