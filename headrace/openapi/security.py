"""What the rules of access are in OpenAPI: security schemes, the scopes of each route, and the refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.access.authenticator import QUERY
from headrace.access.query_token import ACTIONS
from headrace.access.rules import Rule

SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `headrace keys create`, `hr_<id>_<secret>`, or a JWT of your identity provider.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, in a header of its own.",
    },
    "browser": {
        "type": "apiKey",
        "in": "query",
        "name": QUERY,
        "description": "A token of `POST /v1/tokens`, for EventSource and WebSocket, which cannot send headers.",
    },
}


def requirements(rule: Rule) -> list[Mapping[str, Any]]:
    """Any one of these lets a caller in; none are needed where the list is empty."""
    if rule.free:
        return []
    scopes = _scopes(rule)
    schemes = ["bearer", "key"]
    if rule.action is None or rule.action in ACTIONS:
        schemes.append("browser")
    return [{scheme: scopes} for scheme in schemes]


def refusals(rule: Rule) -> dict[int, str]:
    """The problems of those who are not let in."""
    if rule.free:
        return {}
    found = {
        401: "There is no key or token, or one that does not hold.",
        429: "A quota is used up; ask again after `Retry-After`.",
    }
    if rule.action is not None:
        found[403] = f"The credential lacks the scope `{_scopes(rule)[0]}`; `missing_scopes` names it."
    return found


def _scopes(rule: Rule) -> list[str]:
    if rule.action is None:
        return []
    return [f"{rule.action}:{{feed}}"]
