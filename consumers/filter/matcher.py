"""Who of many wants an event: the subscribers of one feed, found without asking each of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from headrace.consumers.filter.event import Event
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.index import Index, Subscribers
from headrace.consumers.filter.view import Reads

S = TypeVar("S", bound=Hashable)


def matches(filter: Filter | None, types: frozenset[str], event: Event) -> bool:
    """Whether one subscriber wants an event; `types` empty stands for all, None for no filter."""
    return (not types or event.type in types) and (filter is None or event.matches(filter))


class Matcher(Generic[S]):
    """The subscribers of a feed, each once. `matching` gives those for whom `matches` is true. For one thread."""

    def __init__(self) -> None:
        self._subscribers: dict[S, tuple[Filter | None, frozenset[str]]] = {}
        # By type; under None those who want all types.
        self._indexes: dict[str | None, Index[S]] = {}
        # What the filters read that are evaluated for every event of a type.
        self._reads: dict[str | None, Reads] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def __iter__(self) -> Iterator[S]:
        return iter(list(self._subscribers))

    def add(self, subscriber: S, filter: Filter | None, types: frozenset[str]) -> None:
        """Add a subscriber, or change what it wants; `filter` and `types` are those of `matches`."""
        if subscriber in self._subscribers:
            self.remove(subscriber)
        self._subscribers[subscriber] = (filter, types)
        for name in types or (None,):
            self._indexes.setdefault(name, Index()).add(subscriber, filter)
        self._reads.clear()

    def remove(self, subscriber: S) -> None:
        """Remove a subscriber; raises KeyError where it is not there."""
        filter, types = self._subscribers.pop(subscriber)
        for name in types or (None,):
            self._indexes[name].remove(subscriber, filter)
            if self._indexes[name].is_empty:
                del self._indexes[name]
        self._reads.clear()

    def matching(self, event: Event) -> list[S]:
        """The subscribers who want an event, in no order. The body is decoded only if a filter asks for it."""
        of_type = event.type if event.type in self._indexes else None
        indexes = [index for name in {None, of_type} if (index := self._indexes.get(name)) is not None]
        if not indexes:
            return []
        found: list[S] = []
        undecided: list[tuple[Filter, Subscribers[S]]] = []
        for index in indexes:
            found.extend(index.unfiltered)
            for filter, subscribers in index.candidates(event):
                if filter.equalities is not None and filter.equalities.decides:
                    found.extend(subscribers)
                else:
                    undecided.append((filter, subscribers))
        reads = self._reads_always(of_type, indexes)
        if undecided:
            paths = frozenset().union(*(filter.reads.paths for filter, _ in undecided))
            reads = reads if paths <= reads.paths else Reads(reads.paths | paths)
        for index in indexes:
            undecided.extend(index.unindexed.items())
        if undecided:
            event.show(reads)
        for filter, subscribers in undecided:
            if event.matches(filter):
                found.extend(subscribers)
        return found

    def _reads_always(self, of_type: str | None, indexes: list[Index[S]]) -> Reads:
        reads = self._reads.get(of_type)
        if reads is None:
            filters = [filter for index in indexes for filter in index.unindexed]
            reads = self._reads[of_type] = Reads(path for filter in filters for path in filter.reads.paths)
        return reads
