"""Reading a parked event again when it is due: only its reference was kept."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.lineup import Job, Lineup

AGAIN_EVENTS = 100
NEAR_EVENTS = 1000
"""Of those that wait, how many are looked at for whether they were read along."""


class Rereading:
    """Reads from the log, or from the dead letters where the log has dropped it: then by `dead_letter`."""

    def __init__(self, feed_log: FeedLog, lineup: Lineup, dead_letter: Callable[[int], Awaitable[Record]]) -> None:
        self._feed_log = feed_log
        self._lineup = lineup
        self._dead_letter = dead_letter

    async def record(self, job: Job, together: Sequence[Job] = ()) -> Record:
        """An event, and with it those that go with it or wait near it: one read for many.

        Raises `PositionGone`, `KafkaUnavailable`.
        """
        if job.record is not None:
            return job.record
        if job.dead is not None:
            return await self._dead_letter(job.dead)
        feed_log, partition, offset = self._feed_log, job.partition, job.offset
        await feed_log.come_to(partition, offset)
        position = feed_log.only(partition, offset)
        batch = await feed_log.read(position, AGAIN_EVENTS)
        found = {record.offset: record for record in batch.records if record.partition == partition}
        if offset not in found:
            raise PositionGone(f"{feed_log.topic.topic}:{partition}:{offset} is no longer kept", position)
        for other in itertools.islice(itertools.chain(together, self._lineup.following(job)), NEAR_EVENTS):
            if other.partition == partition and other.record is None:
                other.record = found.get(other.offset)
        return found[offset]
