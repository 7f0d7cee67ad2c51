"""Events that cannot be processed: kept as they came, with where they came from and what was wrong with them."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from headrace.kafka.bridge import Headers, Outgoing
from headrace.schemas.event import event_id, now

PREFIX = "ce_deadletter"
MAX_REASON = 500


def dead_letter(record: ConsumerRecord[bytes, bytes], topic: str, reason: str) -> Outgoing:
    """The record for the dead-letter topic: the same key, value and headers, and what became of it.

    The headers added are CloudEvents extensions: `ce_deadletterreason`, `-topic`, `-partition`, `-offset` and `-time`.
    A record without `ce_id` gets the id by which every reader knows it, `topic:partition:offset`. An event that has
    been a dead letter before keeps nothing of that.
    """
    headers: Headers = [header for header in record.headers if not header[0].startswith(PREFIX)]
    if all(name != "ce_id" for name, _ in headers):
        headers.append(("ce_id", event_id(None, record.topic, record.partition, record.offset)))
    headers += [
        (f"{PREFIX}reason", reason[:MAX_REASON]),
        (f"{PREFIX}topic", record.topic),
        (f"{PREFIX}partition", str(record.partition)),
        (f"{PREFIX}offset", str(record.offset)),
        (f"{PREFIX}time", now()),
    ]
    return Outgoing(topic, record.key, record.value, headers)
