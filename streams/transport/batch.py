"""What a stream element is: the records that one poll gave of a partition."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import ConsumerRecord

Record = ConsumerRecord[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in the order of the log; at least one."""

    topic: str
    partition: int
    records: list[Record]
