"""The one URL for every way to read a feed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from headrace.consumers.read_request import (
    AVRO,
    BATCH,
    EVENT_STREAM,
    JSON,
    MOST_PARTITION,
    NDJSON,
    PAGE_BYTES,
    Live,
    Slow,
)
from headrace.openapi.operation import ANY, TEXT, Answer, Content, Operation, Parameter, one_of, whole_number
from headrace.openapi.parameters import FEED
from headrace.openapi.second_url import EVENTS_URL, under_second_url
from headrace.openapi.tags import Tag
from headrace.schemas.cloud_event import EXAMPLE, CloudEvent
from headrace.settings import ServeSettings

DESCRIPTION = """\
Without `live`, a page: what there is after `offset`, at once. `Stream-Next-Offset` says where to go on; a page without
`Stream-Up-To-Date: true` is not the last one, even an empty one.

`live=long-poll` waits for the first event, and answers 204 where none came. `live=sse`, or `Accept: text/event-stream`,
is a stream of server-sent events: `data` holds an array of events, and its `id` is the offset after them. An
`EventSource` resumes by itself.

Events are CloudEvents. The pages of a stream, which a client made by PUT, hold its messages as they were posted, in the
stream's media type; or CloudEvents, with `Accept: application/cloudevents-batch+json`.

With `Upgrade: websocket` the same URL is a WebSocket: the subprotocol `headrace.v1` carries several feeds with credit,
and publishing; without one, each message is an event.

The position is the same in all of them: change from one to another at any event."""

UNKNOWN = "There is no such feed or stream, or its topic was not made yet."
UNAVAILABLE = "Kafka does not answer; ask again after `Retry-After`."
CLOSED = "`true`: a stream ends here."
POSITION_HEADERS = {
    "Stream-Next-Offset": "The offset to go on from.",
    "Stream-Up-To-Date": "`true`: there was nothing more.",
    "Stream-Cursor": "Of a long poll: `cursor` of the next one.",
    "Stream-Closed": CLOSED,
}
UNCHANGED_HEADERS = {
    "Stream-Next-Offset": "The offset to go on from.",
    "Stream-Up-To-Date": "`true`: there was nothing more.",
    "Stream-Closed": CLOSED,
    "ETag": "Names this page in this form.",
    "Cache-Control": "Pages of the past never change.",
}
PAGE_HEADERS = {
    **POSITION_HEADERS,
    **UNCHANGED_HEADERS,
    "Headrace-Left-Out": "Of an Avro file: the events that could not be put into it.",
    "Stream-SSE-Data-Encoding": "`base64`: that is how server-sent events hold the bytes of a stream.",
}


class ServerSentEvent(TypedDict):
    """One server-sent event.

    `data` is JSON text, an array of events, or what the connection says of itself; of a stream that is not JSON, what
    was posted.
    """

    event: Literal["data", "control", "disconnect"]
    data: str
    id: NotRequired[Annotated[str, Field(description="The offset after it: `Last-Event-ID` to resume from.")]]


FIND_END = Operation(
    "HEAD",
    EVENTS_URL,
    "find_end",
    Tag.READING,
    "Find the end",
    description="Where a feed ends, and what is known of a stream. `Content-Type` is what its messages are. This is no "
    "read that a time to live would begin anew with.",
    parameters=[FEED],
    answers={
        200: Answer(
            "There is such a feed.",
            headers={
                "Stream-Next-Offset": "The offset of its end.",
                "Stream-TTL": "Of a stream: seconds that it lives after the last read or append.",
                "Stream-Expires-At": "Of a stream: when it ends.",
                "Stream-Closed": "`true`: nothing is appended to the stream any more.",
            },
        )
    },
    problems={404: UNKNOWN, 503: UNAVAILABLE},
)


def operations(settings: ServeSettings) -> tuple[Operation, ...]:
    """Reading, with the limits of a service."""
    read = Operation(
        "GET",
        EVENTS_URL,
        "read_events",
        Tag.READING,
        "Read events",
        description=DESCRIPTION,
        parameters=_parameters(settings),
        answers={
            101: Answer(
                "The connection is a WebSocket from here on.",
                headers={
                    "Sec-WebSocket-Accept": "RFC 6455, section 4.2.2.",
                    "Sec-WebSocket-Protocol": "The subprotocol, where one was offered.",
                    "Stream-Next-Offset": "Where it begins, without `headrace.v1`.",
                },
            ),
            200: Answer(
                "Events, in the form that `Accept` asks for. The schema of server-sent events is that of one of them; "
                "`*/*` is what the messages of a stream are.",
                {
                    JSON: Content(list[CloudEvent] | list[Any], {"page": [EXAMPLE]}),
                    BATCH: Content(list[CloudEvent]),
                    NDJSON: Content(TEXT),
                    AVRO: Content({"type": "string", "contentMediaType": AVRO}),
                    # The field's way: the schema is that of each event.
                    EVENT_STREAM: Content(ServerSentEvent),
                    ANY: Content({}),
                },
                PAGE_HEADERS,
            ),
            204: Answer("A long poll in which nothing came.", headers=POSITION_HEADERS),
            304: Answer("The page is the one that `If-None-Match` names.", headers=UNCHANGED_HEADERS),
        },
        problems={
            400: "A parameter is not as it should be: `parameter` names it. Or a handshake that is none.",
            404: UNKNOWN,
            406: "None of the forms in `Accept` can be had.",
            410: "Events after the offset are no longer kept: go on from `earliest_offset`.",
            426: "Another version of WebSocket than 13.",
            503: UNAVAILABLE,
        },
    )
    return (read, under_second_url(read, "read_stream"), FIND_END, under_second_url(FIND_END, "find_end_of_stream"))


def _parameters(settings: ServeSettings) -> list[Parameter]:
    return [
        FEED,
        Parameter(
            "offset",
            "Where to start: `-1` is the beginning and the default of pages; `now` is the end; or a "
            "`Stream-Next-Offset`. With `live`, it or `from` has to be given.",
            example="-1",
        ),
        Parameter(
            "from",
            "Start at a time. An `offset` goes before it.",
            {"type": "string", "format": "date-time"},
        ),
        Parameter(
            "limit",
            "Most events of a page.",
            whole_number(1, settings.max_page_events, settings.page_events),
            example=2,
        ),
        Parameter(
            "max_bytes",
            "Most bytes of a page's events before compression; a page has at least one event.",
            whole_number(1, PAGE_BYTES),
        ),
        Parameter("partition", "Only the events of this partition.", whole_number(0, MOST_PARTITION)),
        Parameter("key", "Only the events with this key."),
        Parameter(
            "filter",
            "Only the events for which this expression in [CEL](https://cel.dev) is true.",
            example="data.carrier == 'XX'",
        ),
        Parameter("live", "How to wait for what is not there yet.", one_of([kind.value for kind in Live])),
        Parameter("cursor", "In a long poll, the `Stream-Cursor` of the answer before."),
        Parameter(
            "slow",
            "Of server-sent events, what becomes of a client that takes less than it is sent: `conflate` leaves it the "
            "latest event of each key, `disconnect` closes. Without it, it gets all of it later.",
            one_of([kind.value for kind in Slow]),
        ),
        Parameter("If-None-Match", "The `ETag` of a page that the client has.", place="header"),
        Parameter("Last-Event-ID", "Of server-sent events: the offset to resume from.", place="header"),
    ]
