"""Subscribers by their filter, and filters by the values that they ask for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from headrace.consumers.filter.equality import Key, key
from headrace.consumers.filter.event import Event
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.fields import Path, find

S = TypeVar("S", bound=Hashable)

Subscribers = dict[S, None]


class Index(Generic[S]):
    """Who may want an event. Of filters with equalities only those are touched whose equalities hold.

    The price of an event is one lookup for each combination of paths that filters compare, however many filters there
    are, and then the evaluation of those found.
    """

    def __init__(self) -> None:
        self.unfiltered: Subscribers[S] = {}
        self.unindexed: dict[Filter, Subscribers[S]] = {}
        """Those of filters that are evaluated for every event."""
        self._indexed: dict[Filter, Subscribers[S]] = {}
        self._by_values: dict[tuple[Path, ...], dict[tuple[Key, ...], dict[Filter, Subscribers[S]]]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody is left."""
        return not (self.unfiltered or self.unindexed or self._indexed or self._by_values)

    def add(self, subscriber: S, filter: Filter | None) -> None:
        """Add a subscriber, who must not be there."""
        if filter is None:
            self.unfiltered[subscriber] = None
        elif (equalities := filter.equalities) is None:
            self.unindexed.setdefault(filter, {})[subscriber] = None
        elif filter in self._indexed:
            self._indexed[filter][subscriber] = None
        else:
            subscribers = self._indexed[filter] = {subscriber: None}
            for values in equalities.combinations():
                self._by_values.setdefault(equalities.paths, {}).setdefault(values, {})[filter] = subscribers

    def remove(self, subscriber: S, filter: Filter | None) -> None:
        """Remove a subscriber, who must be there with this filter."""
        if filter is None:
            del self.unfiltered[subscriber]
            return
        subscribers_of = self.unindexed if filter.equalities is None else self._indexed
        del subscribers_of[filter][subscriber]
        if not subscribers_of[filter]:
            del subscribers_of[filter]
            self._forget(filter)

    def _forget(self, filter: Filter) -> None:
        if (equalities := filter.equalities) is None:
            return
        for values in equalities.combinations():
            by_values = self._by_values[equalities.paths]
            del by_values[values][filter]
            if not by_values[values]:
                del by_values[values]
            if not by_values:
                del self._by_values[equalities.paths]

    def candidates(self, event: Event) -> Iterator[tuple[Filter, Subscribers[S]]]:
        """Filters whose equalities hold for an event."""
        for paths, by_values in self._by_values.items():
            values = tuple([key(find(event, path)) for path in paths])
            if (filters := by_values.get(values)) is not None:
                yield from filters.items()
