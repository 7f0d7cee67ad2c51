"""Keys as they are printed: for people on a terminal, else as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.access.api_key import ApiKey
from headrace.cli.printable import printable
from headrace.schemas.event import rfc3339


def print_keys(keys: Sequence[ApiKey], json: bool) -> None:
    """A table, or one key in each line."""
    if json:
        for key in keys:
            print(orjson.dumps(members(key)).decode())
        return
    if not keys:
        print("No keys yet: `headrace keys create --name NAME --scope admin:*`.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "name", "scopes", "quotas", "created", "by", "expires"):
        table.add_column(column, overflow="fold")
    for key in keys:
        quotas = ", ".join(f"{name} {limit:g}" for name, limit in key.quotas.public().items())
        expires = "never" if key.expires_s is None else _time(key.expires_s)
        if key.expires_s is not None and key.expires_s <= time.time():
            expires += " (expired)"
        scopes = " ".join(map(str, key.scopes))
        shown = (key.id, key.name, scopes, quotas, _time(key.created_s), key.created_by, expires)
        table.add_row(*(Text(printable(text)) for text in shown))
    Console().print(table)


def members(key: ApiKey) -> dict[str, Any]:
    """What may be shown of a key."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": [str(scope) for scope in key.scopes],
        "quotas": key.quotas.public(),
        "created": _time(key.created_s),
        "created_by": key.created_by,
        "expires": None if key.expires_s is None else _time(key.expires_s),
    }


def _time(seconds: float) -> str:
    return rfc3339(int(seconds * 1000))
