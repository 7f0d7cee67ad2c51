"""Makes the requests of schemathesis fit the subscriptions that are there, and keeps calls from waiting long."""

from __future__ import annotations

from typing import Any

import schemathesis

LONGEST_S = 0.1
PULLED, PUSHED, CHANGED, ENDED = "delay-workers", "partner-delays", "changed", "ended"
"""The subscriptions that the test makes: none of those that lease or push is paused or ended by other calls."""

TAKEN = ("IncomingCloudEvent",)
"""What is not answered, and may have further members."""

OF_OPERATION = {
    "delete_subscription": ENDED,
    **dict.fromkeys(
        ("update_subscription", "pause_subscription", "disable_subscription", "resume_subscription", "rotate_secret"),
        CHANGED,
    ),
    **dict.fromkeys(("reveal_secret", "test_subscription", "list_attempts", "redeliver", "seek_subscription"), PUSHED),
}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Ask of the right subscription, and wait for a moment only."""
    name = case.operation.definition.raw["operationId"]
    if (case.path_parameters or {}).get("id") == PULLED:
        case.path_parameters["id"] = OF_OPERATION.get(name, PULLED)
    for members, member in ((case.body, "wait_s"), (case.query, "wait")):
        if isinstance(members, dict) and _may_wait(members.get(member)):
            members[member] = LONGEST_S


def _may_wait(value: Any) -> bool:
    try:
        return LONGEST_S < float(value) <= 20
    except (TypeError, ValueError):
        return False


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Have members of answers found that the document does not tell; clients must take what is new."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if "properties" in schema and name not in TAKEN:
            schema.setdefault("additionalProperties", False)


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> Any:
    """Text as it is: of itself schemathesis sends only forms that it knows."""
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")}
