"""Headers of Durable Streams 1.0, as `headrace.producers.stream_request` takes them."""

from __future__ import annotations

from headrace.openapi.operation import Parameter, whole_number
from headrace.producers.stream_request import MOST_CHARACTERS, MOST_PARTITIONS, MOST_SEQ, MOST_TTL_S

_PRINTABLE = {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS, "pattern": "^[ -~]+$"}

PRODUCER = (
    Parameter(
        "Producer-Id",
        "Who writes: with `Producer-Epoch` and `Producer-Seq` a retry does no harm. All three are given, or none.",
        _PRINTABLE,
        "header",
    ),
    Parameter(
        "Producer-Epoch",
        "Which life of the producer this is: a higher one shuts those below it out, and begins with number 0.",
        whole_number(0, MOST_SEQ),
        "header",
    ),
    Parameter("Producer-Seq", "The request's number within the epoch, from 0 on.", whole_number(0, MOST_SEQ), "header"),
)
STREAM_SEQ = Parameter(
    "Stream-Seq", "Has to rise from append to append, byte by byte, whoever appends: else 409.", _PRINTABLE, "header"
)
STREAM_CLOSED = Parameter("Stream-Closed", "`true`: nothing comes after the body.", place="header")
TTL = Parameter(
    "Stream-TTL",
    "Seconds that the stream lives after the last read or append.",
    whole_number(0, MOST_TTL_S),
    "header",
)
EXPIRES_AT = Parameter(
    "Stream-Expires-At",
    "When the stream ends; instead of `Stream-TTL`.",
    {"type": "string", "format": "date-time"},
    "header",
)
PARTITIONS = Parameter(
    "partitions",
    "With more than one, messages have an order only for each idempotent producer, and within each request.",
    whole_number(1, MOST_PARTITIONS, 1),
)
STREAM = Parameter(
    "feed",
    "The stream's name. It does not begin with `headrace.`, nor end in `.dead`.",
    {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$"},
    "path",
    example="chat-1",
)
