"""The route that writes, to feeds of files and to streams, for its callers."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from headrace.http.problems import ProblemFault
from headrace.openapi.operation import ANY, TEXT, Answer, Content, Operation, Parameter
from headrace.openapi.operation import answer as json_answer
from headrace.openapi.parameters import CONTENT_ENCODING, FEED
from headrace.openapi.second_url import EVENTS_URL
from headrace.openapi.tags import Tag
from headrace.producers.incoming import BATCH, JSON, MAX_EVENTS, NDJSON, STRUCTURED
from headrace.producers.operations.parameters import PRODUCER, STREAM_CLOSED, STREAM_SEQ

DESCRIPTION = f"""\
One event as its plain data, an array of them, NDJSON, or CloudEvents: structured, a batch, or binary (attributes in
`ce-` headers). At most {MAX_EVENTS:,} at a time. With the same `id`, or the same `Idempotency-Key`, a retry does no
harm.

200 says that all are in Kafka, on all in-sync replicas. 207 says of each event whether it is. Any other answer says
that none was written, but for 503: there it is not known, so send them again as they were.

To a stream, which was made by PUT, the body is appended as it is, in the stream's media type: an array of JSON is taken
apart, one level deep; anything else is one message. 204, or 200 to an idempotent producer, says that every reader can
see it. `Stream-Closed: true` closes the stream, and needs no body. Headers that begin with `Producer-` or `Stream-` are
for streams only, `Idempotency-Key` is for all other feeds."""


class IncomingCloudEvent(TypedDict):
    """An event: CloudEvents 1.0 in structured JSON. Further members are its extensions."""

    specversion: Annotated[str, Field(pattern="^1\\.0$")]
    id: Annotated[str, Field(min_length=1, max_length=1024)]
    source: Annotated[str, Field(min_length=1, max_length=1024)]
    type: Annotated[str, Field(min_length=1, max_length=1024)]
    time: NotRequired[Annotated[str, Field(description="RFC 3339; the present where it is not given.")]]
    subject: NotRequired[str]
    partitionkey: NotRequired[Annotated[str, Field(description="The record's key, where the feed names no field.")]]
    data: NotRequired[Annotated[Any, Field(description="What fits the feed's schema.")]]
    data_base64: NotRequired[Annotated[str, Field(description="The data of a feed of bytes.")]]


class WrittenEvent(TypedDict):
    """An event that is in Kafka. `status` is there where some are not."""

    id: str
    partition: int
    offset: int
    status: NotRequired[int]


class RefusedEvent(TypedDict):
    """An event that was not written."""

    status: Annotated[int, Field(ge=400)]
    id: str | None
    detail: str
    errors: list[ProblemFault]


class Written(TypedDict):
    """All events, in the order of the request."""

    events: list[WrittenEvent]


class PartlyWritten(TypedDict):
    """All events, in the order of the request: some of them were written."""

    events: list[RefusedEvent | WrittenEvent]


AIRLINE = {"carrier": "XX", "name": "Example Air"}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "airline-xx-1",
    "source": "/examples",
    "type": "flights.Airline",
    "data": AIRLINE,
}

STREAM_ANSWER = {
    "Stream-Next-Offset": "Of a stream: the offset after what was appended.",
    "Stream-Closed": "`true`: the stream is closed.",
    "Producer-Epoch": "Of an idempotent producer: its epoch.",
    "Producer-Seq": "Of an idempotent producer: the highest number that has been appended.",
}

WRITE_EVENTS = Operation(
    "POST",
    EVENTS_URL,
    "write_events",
    Tag.WRITING,
    "Write events",
    description=DESCRIPTION,
    parameters=[
        FEED,
        Parameter(
            "Idempotency-Key",
            "Stands for this body: the events take their ids from it.",
            {"type": "string", "minLength": 1, "maxLength": 255},
            "header",
        ),
        CONTENT_ENCODING,
        *PRODUCER,
        STREAM_SEQ,
        STREAM_CLOSED,
    ],
    body={
        JSON: Content({}, {"one": AIRLINE, "array": [AIRLINE, {"carrier": "YY", "name": "Other Air"}]}),
        NDJSON[0]: Content(TEXT, {"lines": '{"carrier": "XX", "name": "Example Air"}\n'}),
        STRUCTURED: Content(IncomingCloudEvent, {"one": CLOUD_EVENT}),
        BATCH: Content(list[IncomingCloudEvent], {"batch": [CLOUD_EVENT]}),
        "application/octet-stream": Content({"type": "string", "contentMediaType": "application/octet-stream"}),
        ANY: Content({}),
    },
    body_is_required=False,
    answers={
        200: Answer(
            "All events are in Kafka. From a stream, without a body: an idempotent producer's messages are appended.",
            {JSON: Content(Written)},
            STREAM_ANSWER,
        ),
        204: Answer(
            "Of a stream: the messages are appended, or it is closed, or an idempotent producer's were there before.",
            headers=STREAM_ANSWER,
        ),
        207: json_answer("Some events are in Kafka; `status` tells which.", PartlyWritten),
    },
    problems={
        400: "None was written: `errors` says for each event, by `index`, what is wrong, with a JSON Pointer. Or a "
        "header is not as it should be, or there is nothing to append.",
        403: "Of a stream: another producer of this id has begun a higher epoch; `Producer-Epoch` has it.",
        404: "There is no such feed or stream.",
        405: "Dead letters are written by Headrace alone.",
        409: "A request with this `Idempotency-Key` is still being written; ask again. Or the stream is closed, is of "
        "another media type, `Stream-Seq` is not above the last one, or requests of this producer are missing.",
        413: "The body, or an event, is too large, or there are too many.",
        415: "The media type, its charset, or the `Content-Encoding` is not taken here.",
        422: "The `Idempotency-Key` was sent with another body: take a new one.",
        503: "Kafka did not acknowledge; send the same again after `Retry-After`.",
    },
    problem_headers={
        403: {"Producer-Epoch": "The epoch that holds now."},
        405: {"Allow": "What may be done."},
        409: {
            "Stream-Next-Offset": "Of a stream that is closed: its end.",
            "Stream-Closed": "`true`: that is why.",
            "Producer-Expected-Seq": "The number that has to come next.",
            "Producer-Received-Seq": "The number that came.",
            "Retry-After": "Of an `Idempotency-Key` that is in use: when to ask again, in seconds.",
        },
        415: {"Accept-Encoding": "The codings that are taken."},
    },
)
