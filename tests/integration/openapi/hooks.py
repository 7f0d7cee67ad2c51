"""Makes the requests of schemathesis fit the subscriptions and streams that are there, and keeps calls short."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

LONGEST_S = 0.1
MOST_PARTITIONS = 2
PULLED, PUSHED, CHANGED, ENDED = "delay-workers", "partner-delays", "changed", "ended"
"""The subscriptions that the test makes: none of those that lease or push is paused or ended by other calls."""
NAME = re.compile(r"[A-Za-z0-9._-]+")
OF_FILES = ("plain.json", "raw.bytes", "flights.")
STREAM, BYTES = "chat-1", "upload-1"
"""The streams that the test makes: to the first, of JSON, and the second, of bytes, others append; they do not end."""

TAKEN = ("IncomingCloudEvent",)
"""What is not answered, and may have further members."""

OF_OPERATION = {
    **dict.fromkeys(("create_stream", "delete_stream"), "made-1"),
    **dict.fromkeys(("create_feed", "delete_feed"), "made-2"),
    "delete_subscription": ENDED,
    **dict.fromkeys(
        ("update_subscription", "pause_subscription", "disable_subscription", "resume_subscription", "rotate_secret"),
        CHANGED,
    ),
    **dict.fromkeys(("reveal_secret", "test_subscription", "list_attempts", "redeliver", "seek_subscription"), PUSHED),
}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Ask of the right subscription or stream, of few partitions, and wait for a moment only."""
    name, path = case.operation.definition.raw["operationId"], case.path_parameters or {}
    if path.get("id") == PULLED:
        path["id"] = OF_OPERATION.get(name, PULLED)
    if name == "read_events" and NAME.fullmatch(str(path.get("feed"))) and not path["feed"].startswith(OF_FILES):
        path["feed"] = OF_FILES[0]
    if path.get("feed") == STREAM:
        path["feed"] = OF_OPERATION.get(name, STREAM)
    if isinstance(case.query, dict) and _is_within(case.query.get("partitions"), MOST_PARTITIONS, 100):
        case.query["partitions"] = MOST_PARTITIONS
    for members, member in ((case.body, "wait_s"), (case.query, "wait")):
        if isinstance(members, dict) and _is_within(members.get(member), LONGEST_S, 20):
            members[member] = LONGEST_S


def _is_within(value: Any, above: float, most: float) -> bool:
    try:
        return above < float(value) <= most
    except (TypeError, ValueError):
        return False


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Have members of answers found that the document does not tell; clients must take what is new.

    And have one of the two URLs tried as what feeds of files are, with CloudEvents, and the other as what streams are.
    """
    for name, schema in raw_schema["components"]["schemas"].items():
        if "properties" in schema and name not in TAKEN:
            schema.setdefault("additionalProperties", False)
    events, stream = (raw_schema["paths"][path] for path in ("/v1/feeds/{feed}/events", "/v1/stream/{feed}"))
    page = events["get"]["responses"]["200"]["content"]["application/json"]
    page["schema"], _ = page["schema"]["anyOf"]
    for post, refused in ((events["post"], ("Producer-", "Stream-")), (stream["post"], ("Idempotency-",))):
        post["parameters"] = [one for one in post["parameters"] if not one["name"].startswith(refused)]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> Any:
    """Text as it is: of itself schemathesis sends only forms that it knows."""
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")}
