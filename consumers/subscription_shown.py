"""The answer that shows a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from headrace.consumers.relay.definition import Subscription


def shown(
    subscription: Subscription, *, code: int = 200, headers: Mapping[str, str] | None = None, **members: Any
) -> web.Response:
    """A subscription, with further members; one that holds a secret is not to be stored."""
    kept = {"Cache-Control": "no-store"} if "secret" in members else {}
    return web.Response(
        status=code,
        body=orjson.dumps({**subscription.public(), **members}),
        content_type="application/json",
        headers={"ETag": subscription.etag, **kept, **(headers or {})},
    )
