"""The table of all streams: what is kept of them in Kafka, read and followed by every process that needs them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from confluent_kafka.admin import AdminClient

from headrace.durable.stream import STREAMS, Producer, Retired, Stream, Value, from_bytes, to_bytes
from headrace.kafka.definitions import Definitions
from headrace.kafka.topics import ensure_topics
from headrace.settings import Settings

OnChange = Callable[[str, Stream | None], None]


class StreamTable(Mapping[str, Stream]):
    """Streams by their names, those that have not expired.

    Beside them it knows `producers`, the keys of what is kept of their producers, by the stream's id; `mortal`, the
    names of those that may expire; and `retired`, what is left to do of those that are no more, by its key.
    """

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self._settings = settings
        self._admin = admin
        self._listeners: list[OnChange] = []
        self.producers: defaultdict[str, set[str]] = defaultdict(set)
        self.mortal: set[str] = set()
        self.retired: dict[str, Retired] = {}
        self.definitions = Definitions[Value](
            settings.kafka(), admin, STREAMS, from_bytes=from_bytes, to_bytes=to_bytes, on_change=self._changed
        )

    async def load(self) -> None:
        """Read all; raises `KafkaUnavailable`."""
        await ensure_topics(self._admin, [STREAMS], replication_factor=self._settings.replication_factor)
        await self.definitions.load()

    def __getitem__(self, name: str) -> Stream:
        found = self.definitions.get(name)
        if not isinstance(found, Stream) or found.has_expired(now_ms()):
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.definitions if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    async def find(self, name: str) -> Stream | None:
        """The stream, also one that another process has made just before this call; raises `KafkaUnavailable`."""
        if (found := self.get(name)) is None:
            await self.definitions.catch_up()
            found = self.get(name)
        return found

    def listen(self, on_change: OnChange) -> None:
        """Call `on_change` with a stream after each of its changes, with None when it was deleted."""
        self._listeners.append(on_change)

    def _changed(self, key: str, value: Value | None) -> None:
        stream_id, is_of_stream, _ = key.partition("\0")
        if is_of_stream:
            self._note(stream_id, key, value)
            return
        stream = value if isinstance(value, Stream) else None
        if stream is not None and stream.is_mortal:
            self.mortal.add(key)
        else:
            self.mortal.discard(key)
        for listener in self._listeners:
            listener(key, stream)

    def _note(self, stream_id: str, key: str, value: Value | None) -> None:
        if isinstance(value, Producer):
            self.producers[stream_id].add(key)
        elif isinstance(value, Retired):
            self.retired[key] = value
        elif self.retired.pop(key, None) is None:
            self.producers[stream_id].discard(key)
            if not self.producers[stream_id]:
                del self.producers[stream_id]

    async def close(self) -> None:
        """Leave Kafka."""
        await self.definitions.close()


def now_ms() -> int:
    """The present, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
