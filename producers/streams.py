"""Writing durable streams: PUT makes one, POST appends or closes, DELETE removes (Durable Streams 1.0, section 5)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web
from confluent_kafka import KafkaException

from headrace import metrics
from headrace.access.principal import EVENTS
from headrace.durable.append import Append, EpochBegins, Refused, SeqGap, StaleEpoch, StreamClosed
from headrace.durable.media_type import JSON
from headrace.durable.removal import UnknownStream
from headrace.durable.stream import Stream
from headrace.durable.streams import Streams
from headrace.http.browsers import FOR_BROWSERS
from headrace.http.problems import Problem, unavailable
from headrace.producers.body import read_body
from headrace.producers.messages import checked_messages, messages_of
from headrace.producers.stream_request import closes, media_type, producer_seq, stream_seq, wanted_stream
from headrace.schemas.codec import InvalidData, JsonCodec
from headrace.schemas.feed import STREAMS
from headrace.settings import IngestSettings

VALUES = JsonCodec()
HEADERS = {"Cache-Control": "no-store", **FOR_BROWSERS}


class StreamWriting:
    """The handlers of requests that write a stream."""

    def __init__(self, settings: IngestSettings, streams: Streams) -> None:
        self._settings = settings
        self._streams = streams

    async def put(self, request: web.Request) -> web.Response:
        """Make a stream, or find that it is there just so."""
        wanted = wanted_stream(request, request.match_info["feed"])
        messages = await self._messages(request, wanted.media_type)
        try:
            found, made = await self._streams.create(wanted, messages)
        except KafkaException as error:
            raise unavailable(f"Kafka did not make the stream's topic: {error.args[0].str()}.") from None
        if not made and not found.same_as(wanted):
            raise Problem(
                HTTPStatus.CONFLICT,
                "There is a stream of this name with another media type, expiry, closure or number of partitions: take "
                "another name, or DELETE it before.",
            )
        headers = {**HEADERS, **_standing(found), "Content-Type": found.media_type}
        if not made:
            return web.Response(status=HTTPStatus.OK, headers=headers)
        _count(messages)
        headers["Location"] = f"{request.scheme}://{request.host}{request.path}"
        answer = web.Response(status=HTTPStatus.CREATED, headers=headers)
        answer[EVENTS] = len(messages)
        return answer

    async def post(self, request: web.Request) -> web.Response:
        """Append, close, or both."""
        append = await self._append(request)
        try:
            appended = await self._streams.append(request.match_info["feed"], append)
        except UnknownStream as error:
            raise unknown(str(error)) from None
        except Refused as error:
            raise _refused(error) from None
        headers = {**HEADERS, **_standing(appended.stream)}
        if appended.producer is not None:
            headers["Producer-Epoch"] = str(appended.producer.epoch)
            headers["Producer-Seq"] = str(appended.producer.seq)
        new = append.messages and append.producer is not None and not appended.is_duplicate
        answer = web.Response(status=HTTPStatus.OK if new else HTTPStatus.NO_CONTENT, headers=headers)
        if not appended.is_duplicate:
            _count(append.messages)
            answer[EVENTS] = len(append.messages)
        return answer

    async def append(self, name: str, values: list[Any]) -> str:
        """Append JSON values that did not come by POST; the offset token after them. Raises what `post` does."""
        try:
            messages = [VALUES.encode(value) for value in values]
        except InvalidData as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"A message {error}.") from None
        messages = checked_messages(messages, self._settings.max_event_bytes)
        try:
            appended = await self._streams.append(name, Append(messages, JSON, False, None, None))
        except UnknownStream as error:
            raise unknown(str(error)) from None
        except Refused as error:
            raise _refused(error) from None
        _count(messages)
        return appended.stream.next_offset

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a stream with all that is in it."""
        try:
            await self._streams.delete(request.match_info["feed"])
        except UnknownStream as error:
            raise unknown(str(error)) from None
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=HEADERS)

    async def _append(self, request: web.Request) -> Append:
        _refuse_idempotency_key(request)
        kind, close = media_type(request), closes(request)
        seq, producer = stream_seq(request), producer_seq(request)
        body = await read_body(request, self._settings.max_body_bytes)
        if not body:
            if not close:
                raise Problem(HTTPStatus.BAD_REQUEST, "The body is empty: nothing would be appended.")
            return Append([], None, close, seq, producer)
        if kind is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "Content-Type is missing: give the media type of the stream.")
        messages = messages_of(kind, body, self._settings.max_event_bytes)
        if not messages:
            raise Problem(HTTPStatus.BAD_REQUEST, "The array is empty: nothing would be appended.")
        return Append(messages, kind, close, seq, producer)

    async def _messages(self, request: web.Request, kind: str) -> list[bytes]:
        body = await read_body(request, self._settings.max_body_bytes)
        return messages_of(kind, body, self._settings.max_event_bytes)


def unknown(name: str) -> Problem:
    """404."""
    return Problem(HTTPStatus.NOT_FOUND, f"No feed or stream is called {name}; PUT makes a stream.")


def read_only(name: str) -> Problem:
    """405 for what is defined by a file."""
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"{name} is defined by a file: it is made and removed with that file, not over HTTP.",
        headers={"Allow": "GET, HEAD, POST"},
    )


def _refuse_idempotency_key(request: web.Request) -> None:
    """Raise `Problem` 400 where a request relies on what streams do not do."""
    if "Idempotency-Key" in request.headers:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "Idempotency-Key is for feeds that a file defines: here Producer-Id, Producer-Epoch and Producer-Seq make "
            "a retry harmless.",
        )


def _standing(stream: Stream) -> dict[str, str]:
    return {"Stream-Next-Offset": stream.next_offset, **({"Stream-Closed": "true"} if stream.closed else {})}


def _refused(error: Refused) -> Problem:
    """Why a request is not written, as the protocol says it."""
    if isinstance(error, StaleEpoch):
        headers = {"Producer-Epoch": str(error.epoch)}
        detail = f"Another producer has taken this id over: {error}; begin a higher one to take it back."
        return Problem(HTTPStatus.FORBIDDEN, detail, headers=headers, epoch=error.epoch)
    if isinstance(error, EpochBegins):
        return Problem(HTTPStatus.BAD_REQUEST, f"Producer-Seq: {error}.")
    if isinstance(error, SeqGap):
        headers = {"Producer-Expected-Seq": str(error.expected), "Producer-Received-Seq": str(error.received)}
        return Problem(HTTPStatus.CONFLICT, f"Producer-Seq: {error}; send what is missing first.", headers=headers)
    if isinstance(error, StreamClosed):
        detail = "The stream is closed: nothing is appended any more."
        return Problem(HTTPStatus.CONFLICT, detail, headers=_standing(error.stream))
    return Problem(HTTPStatus.CONFLICT, f"Not appended: {error}.")


def _count(messages: list[bytes]) -> None:
    metrics.events_in.labels(STREAMS, "ingest").inc(len(messages))
    metrics.bytes_in.labels(STREAMS, "ingest").inc(sum(map(len, messages)))
