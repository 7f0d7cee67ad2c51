"""The rules of appending (Durable Streams 1.0, sections 5.2 and 5.2.1): what a stream makes of a request."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.durable.media_type import essence
from headrace.durable.stream import Producer, Stream


@dataclass(frozen=True, slots=True)
class ProducerSeq:
    """What an idempotent producer says of a request."""

    id: str
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Append:
    """A request to append, to close, or both. `media_type` matters only where there are messages."""

    messages: list[bytes]
    media_type: str | None = None
    close: bool = False
    seq: str | None = None
    producer: ProducerSeq | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a request: the stream after it, whether it was there before, and its producer's state."""

    stream: Stream
    is_duplicate: bool
    producer: Producer | None


class Refused(Exception):
    """A request that the stream's state does not allow."""


class MediaTypeDiffers(Refused):
    """The messages are of another media type than the stream."""


class SeqRegressed(Refused):
    """`Stream-Seq` is not above the last one."""


class StreamClosed(Refused):
    """Nothing comes after the end of this stream."""

    def __init__(self, stream: Stream) -> None:
        super().__init__("the stream is closed")
        self.stream = stream


class StaleEpoch(Refused):
    """Another producer of the same id has begun since."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the producer's epoch is {epoch} now")
        self.epoch = epoch


class EpochBegins(Refused):
    """A new epoch has to begin at sequence number 0."""


class SeqGap(Refused):
    """Requests before this one are missing."""

    def __init__(self, expected: int, received: int) -> None:
        super().__init__(f"{expected} is expected, and {received} was received")
        self.expected = expected
        self.received = received


def check(stream: Stream, known: Producer | None, append: Append) -> bool:
    """Whether the request is to be written; False where all of it is there already. Raises `Refused`.

    `known` is the state of the request's producer.
    """
    if append.producer is not None and known is not None and _is_duplicate(known, append.producer):
        return False
    if stream.closed:
        if append.messages or append.producer is not None or not append.close:
            raise StreamClosed(stream)
        return False
    if append.producer is not None:
        _check_producer(known, append.producer)
    if append.messages and essence(append.media_type or "") != essence(stream.media_type):
        raise MediaTypeDiffers(f"its messages are {stream.media_type}")
    if append.seq is not None and stream.seq is not None and append.seq.encode() <= stream.seq.encode():
        raise SeqRegressed(f"Stream-Seq has to be above {stream.seq}, byte by byte")
    return True


def _is_duplicate(known: Producer, said: ProducerSeq) -> bool:
    if said.epoch < known.epoch:
        raise StaleEpoch(known.epoch)
    return said.epoch == known.epoch and said.seq <= known.seq


def _check_producer(known: Producer | None, said: ProducerSeq) -> None:
    if known is not None and said.epoch == known.epoch:
        if said.seq != known.seq + 1:
            raise SeqGap(known.seq + 1, said.seq)
    elif said.seq != 0:
        if known is None:
            raise SeqGap(0, said.seq)
        raise EpochBegins(f"epoch {said.epoch} has to begin with sequence number 0")
