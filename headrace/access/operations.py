"""The route that makes browser tokens, for its callers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from headrace.access.token_request import TokenRequest
from headrace.openapi.operation import JSON, Content, Operation, answer
from headrace.openapi.tags import Tag


class BrowserToken(TypedDict):
    """A token for the query parameter `access_token`."""

    token: str
    scopes: list[str]
    expires: Annotated[str, Field(description="When it ends, in RFC 3339: what it had opened is closed then.")]


OPERATIONS = (
    Operation(
        "POST",
        "/v1/tokens",
        "make_token",
        Tag.ACCESS,
        "Make a browser token",
        description="For EventSource and WebSocket: it goes into the query as `access_token`, may only `read` and "
        "`subscribe`, no more than its maker, and ends with the key or JWT that it was made with.",
        body={JSON: Content(TokenRequest, {"minute": {"scopes": ["read:flights.enriched"], "ttl_s": 60}})},
        answers={201: answer("The token.", BrowserToken)},
        problems={400: "The body does not fit, or a scope is none that a browser may have.", 413: "It is too large."},
    ),
)
