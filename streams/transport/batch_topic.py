"""A topic whose stream elements are batches."""

from __future__ import annotations

from typing import Any, cast

from faust import App, Topic
from faust.types import EventT, Message

from headrace.streams.transport.batch_transport import BatchTransport


class BatchTopic(Topic):
    """One topic read in batches: an event's value is a `Batch`. Made directly, so that changelogs stay as they are."""

    def __init__(self, app: App, *, topics: list[str], **options: Any) -> None:
        super().__init__(app, topics=topics, **options)
        cast("BatchTransport", app.transport).batch_topics.update(topics)

    def _compile_decode(self) -> None:
        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return self._create_event(None, message.value, headers={}, message=message)

        self.decode = decode  # type: ignore[method-assign]
