"""Events that cannot be processed or delivered: kept as they came, with where they lay and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.kafka.bridge import Headers, Outgoing
from headrace.schemas.event import KafkaHeaders, event_id, now

PREFIX = "ce_deadletter"
MAX_REASON = 500
MAX_VALUE_BYTES = 900_000
"""Of a larger value there is no room beside what is added; it is left out, and `omitted` says so."""


def dead_letter(
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes | None,
    headers: KafkaHeaders,
    to_topic: str,
    reason: str,
    **further: str,
) -> Outgoing:
    """The record for the dead-letter topic: the same key, value and headers, and what became of it.

    `place` is the record's topic, partition and offset. The headers added are CloudEvents extensions:
    `ce_deadletterreason`, `-topic`, `-partition`, `-offset`, `-time`, and `further` ones. A record without `ce_id` gets
    the id by which every reader knows it, `topic:partition:offset`. An event that has been a dead letter before keeps
    nothing of that.
    """
    topic, partition, offset = place
    kept: Headers = [header for header in headers if not header[0].startswith(PREFIX)]
    if all(name != "ce_id" for name, _ in kept):
        kept.append(("ce_id", event_id(None, topic, partition, offset)))
    said: Mapping[str, str] = {
        "reason": reason[:MAX_REASON],
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "time": now(),
        **further,
    }
    if value is not None and len(value) > MAX_VALUE_BYTES:
        said = {**said, "omitted": f"{len(value)} bytes"}
        value = None
    return Outgoing(to_topic, key, value, [*kept, *((PREFIX + name, text) for name, text in said.items())])
