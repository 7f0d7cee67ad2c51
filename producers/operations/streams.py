"""The routes that make, write and remove streams, for their callers."""

from __future__ import annotations

from headrace.openapi.operation import ANY, JSON, Answer, Content, Operation
from headrace.openapi.parameters import CONTENT_ENCODING
from headrace.openapi.second_url import STREAM_URL, under_second_url
from headrace.openapi.tags import Tag
from headrace.producers.operations.events import WRITE_EVENTS
from headrace.producers.operations.parameters import EXPIRES_AT, PARTITIONS, STREAM, STREAM_CLOSED, TTL

MESSAGES = [{"say": "hello"}, {"say": "you"}]

MADE = {
    "Stream-Next-Offset": "The offset after the stream's last message.",
    "Stream-Closed": "`true`: the stream is closed.",
}
OF_A_FILE = "The feed is defined by a file: it is made and removed with that."
ALLOW = {405: {"Allow": "What may be done."}}

CREATE_STREAM = Operation(
    "PUT",
    STREAM_URL,
    "create_stream",
    Tag.STREAMS,
    "Make a stream",
    description="`Content-Type` says what the stream holds: `application/octet-stream` by default, never "
    "`text/event-stream`. A body is its first messages. Where the stream is there already, and is the same, nothing is "
    "appended.",
    parameters=[STREAM, PARTITIONS, TTL, EXPIRES_AT, STREAM_CLOSED, CONTENT_ENCODING],
    body={JSON: Content({}, {"messages": MESSAGES}), ANY: Content({})},
    body_is_required=False,
    answers={
        200: Answer("The stream was there, and is the same. Its media type is in `Content-Type`.", headers=MADE),
        201: Answer(
            "The stream is made. Its media type is in `Content-Type`.", headers={**MADE, "Location": "Its URL."}
        ),
    },
    problems={
        400: "The name, a header, `partitions` or the body is not as it should be.",
        405: OF_A_FILE,
        409: "A stream of this name has another media type, expiry, closure or number of partitions.",
        413: "The body, or a message, is too large, or there are too many.",
        415: "The `Content-Encoding` is not taken here.",
        503: "Kafka does not answer; send the same again after `Retry-After`.",
    },
    problem_headers={**ALLOW, 415: {"Accept-Encoding": "The codings that are taken."}},
)
DELETE_STREAM = Operation(
    "DELETE",
    STREAM_URL,
    "delete_stream",
    Tag.STREAMS,
    "Delete a stream",
    description="With all that is in it. Its name is free then; offsets of it are answered with 410 by the next one.",
    parameters=[STREAM],
    answers={204: Answer("The stream is no more.")},
    problems={
        404: "There is no such stream, or it has expired.",
        405: OF_A_FILE,
        503: "Kafka does not answer; ask again after `Retry-After`.",
    },
    problem_headers=ALLOW,
)

OPERATIONS = (
    CREATE_STREAM,
    under_second_url(CREATE_STREAM, "create_feed"),
    under_second_url(WRITE_EVENTS, "append_to_stream", {JSON: Content({}, {"messages": MESSAGES}), ANY: Content({})}),
    DELETE_STREAM,
    under_second_url(DELETE_STREAM, "delete_feed"),
)
