"""Asking an endpoint whether it wants webhooks: CloudEvents' Web Hooks 1.0.2, section 4 (validation by OPTIONS)."""

from __future__ import annotations

from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.rate import granted_per_min
from headrace.consumers.relay.target import Target


class NotAgreed(Exception):
    """The endpoint does not agree; the text says what it answered, and what it should."""


async def agree(client: HttpClient, target: Target, origin: str, rate_per_min: int | None) -> int | None:
    """Ask the endpoint, and return the requests a minute that it allows; None for any number.

    `origin` is who asks, a host name. Raises `NotAgreed`.
    """
    headers = {"webhook-request-origin": origin}
    if rate_per_min is not None:
        headers["webhook-request-rate"] = str(rate_per_min)
    try:
        answer = await client.request("OPTIONS", target, headers, b"")
    except AttemptFailed as error:
        raise NotAgreed(f"no answer to OPTIONS: {error}") from None
    if not 200 <= answer.status < 300:
        raise NotAgreed(f"OPTIONS was answered {answer.status}; a 2xx with WebHook-Allowed-Origin agrees")
    allowed = answer.headers.get("webhook-allowed-origin", "")
    if allowed.strip().lower() not in ("*", origin.lower()):
        raise NotAgreed(f"WebHook-Allowed-Origin is {allowed!r}; it should be {origin} or *")
    try:
        # Without the header it has agreed, and said nothing of a rate.
        return granted_per_min(answer.headers.get("webhook-allowed-rate", "*"))
    except ValueError as error:
        raise NotAgreed(str(error)) from None
