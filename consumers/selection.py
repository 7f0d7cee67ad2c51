"""What of a feed a reader wants: one partition, one key, what a filter says; what all of them say where several do."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.consumers.filter.expression import Filter


@dataclass(frozen=True, slots=True)
class Selection:
    """None stands for no choice. Equal ones are one key, so that their readers share what is made for them."""

    partition: int | None = None
    key: str | None = None
    filter: Filter | None = None

    @property
    def is_all(self) -> bool:
        """Whether every event is wanted."""
        return self.partition is None and not self.looks

    @property
    def looks(self) -> bool:
        """Whether events are looked at one by one: it may take many to find one."""
        return self.key is not None or self.filter is not None

    def parameters(self) -> dict[str, str]:
        """The choice as it stands in a query."""
        chosen = {"partition": self.partition, "key": self.key, "filter": self.filter and self.filter.text}
        return {name: str(value) for name, value in chosen.items() if value is not None}
