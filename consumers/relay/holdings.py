"""What a relay holds: its partitions of `headrace.positions`, and the subscriptions in them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable

from headrace.consumers.relay.definition import Subscription, position_partition
from headrace.consumers.relay.running import Standing
from headrace.consumers.relay.state import Stored, next_epoch

Kept = dict[str, Stored]
"""What was found in a partition, by `state_key`, until it is taken up."""


class Holdings:
    """Changed by one at a time for each subscription: who holds its `lock`.

    A partition that was lost and gained again has another `Kept`: by that one knows that it was not ours all the time.
    """

    def __init__(self) -> None:
        self.runners: dict[str, Standing] = {}
        self._kept: dict[int, Kept] = {}
        self._since_ms: dict[int, int] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @property
    def partitions(self) -> Iterable[int]:
        """The partitions that are ours."""
        return self._kept

    def gain(self, partition: int, kept: Kept, since_ms: int) -> None:
        """A partition is ours, since a time since 1970."""
        self._kept[partition] = kept
        self._since_ms[partition] = since_ms

    def lose(self, partition: int) -> None:
        """A partition is another's."""
        self._kept.pop(partition, None)

    def kept(self, partition: int) -> Kept | None:
        """What is kept in a partition; None where it is not ours."""
        return self._kept.get(partition)

    def kept_with(self, name: str) -> Kept | None:
        """The same of the partition of a subscription."""
        return self._kept.get(position_partition(name))

    def since_ms(self, name: str) -> int:
        """Since when the partition of a subscription is ours, or was when it was last."""
        return self._since_ms[position_partition(name)]

    def next_epoch(self, subscription: Subscription, epoch: int) -> int:
        """An epoch above all that any owner has written."""
        return next_epoch(epoch, self.since_ms(subscription.id))

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of a subscription: there while somebody uses it."""
        if (lock := self._locks.get(name)) is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def names(self, partitions: Iterable[int]) -> set[str]:
        """The subscriptions of partitions that run, or are being changed."""
        wanted = set(partitions)
        return {name for name in (*self.runners, *self._locks) if position_partition(name) in wanted}

    async def stop(self, runner: Standing) -> None:
        """Let it run no more, and write where it stands."""
        del self.runners[runner.subscription.id]
        await runner.stop()
