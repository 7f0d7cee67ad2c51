from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from headrace.consumers.filter.expression import Filter
from headrace.consumers.read_request import (
    AVRO,
    BATCH,
    EVENT_STREAM,
    JSON,
    NDJSON,
    Live,
    ReadRequest,
    Slow,
    parse,
)
from headrace.consumers.selection import Selection
from headrace.http.problems import Problem
from headrace.settings import ServeSettings

SETTINGS = ServeSettings()


def parsed(query: str, **headers: str) -> ReadRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse(make_mocked_request("GET", f"/v1/feeds/f/events?{query}", headers=named), SETTINGS)


def test_without_a_query_it_starts_at_the_beginning() -> None:
    read = parsed("")
    assert (read.offset, read.from_ms, read.limit, read.live, read.media_type) == ("-1", None, 1000, None, JSON)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2013-01-01T05:00:00Z", 1357016400000),
        ("2013-01-01T05:00:00.001Z", 1357016400001),
        ("2013-01-01T05:00:00.0001Z", 1357016400001),
        ("2013-01-01T05:00:00%2B05:00", 1356998400000),
        ("2013-01-01T05:00:00+05:00", 1356998400000),
    ],
)
def test_a_time_is_milliseconds_of_which_nothing_is_older(text: str, milliseconds: int) -> None:
    assert parsed(f"from={text}").from_ms == milliseconds


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.998Z", "0001-01-01T00:00:00Z"])
def test_a_time_before_1970_is_the_beginning_and_never_one_of_kafkas_special_offsets(text: str) -> None:
    assert parsed(f"from={text}").from_ms == 0


def test_an_offset_goes_before_a_time_so_that_pages_go_on() -> None:
    read = parsed("from=2013-01-01T05:00:00Z&offset=abc")
    assert (read.offset, read.from_ms) == ("abc", None)


def test_the_last_event_id_goes_before_the_offset_of_the_url() -> None:
    assert parsed("live=sse&offset=-1", Last_Event_ID="abc").offset == "abc"
    assert parsed("live=sse&from=2013-01-01T05:00:00Z", Last_Event_ID="abc").from_ms is None


def test_the_last_event_id_means_nothing_to_a_pull() -> None:
    assert parsed("offset=-1", Last_Event_ID="abc").offset == "-1"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("offset=", "offset"),
        ("offset=1&offset=2", "offset"),
        ("live=sse", "offset"),
        ("live=long-poll", "offset"),
        ("live=web&offset=-1", "live"),
        ("live=&offset=-1", "live"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%C2%B2", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=", "limit"),
        ("from=yesterday", "from"),
        ("from=2013-01-01T05:00:00", "from"),
        ("from=", "from"),
        ("partition=-1", "partition"),
        ("partition=x", "partition"),
        ("partition=1&partition=2", "partition"),
        ("key=1&key=2", "key"),
        ("filter=data.n%20%3D%3D", "filter"),
        ("filter=data.n%20%2B%201", "filter"),
        ("max_bytes=0", "max_bytes"),
        ("slow=never&live=sse&offset=now", "slow"),
        ("slow=conflate", "slow"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, parameter: str) -> None:
    with pytest.raises(Problem) as caught:
        parsed(query)
    assert caught.value.status == 400
    assert caught.value.extensions == {"parameter": parameter}
    assert parameter in caught.value.detail


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", JSON),
        ("", JSON),
        ("application/json", JSON),
        ("application/x-ndjson", NDJSON),
        ("application/ndjson", NDJSON),
        ("text/html, application/x-ndjson;q=0.9", NDJSON),
        ("application/json;q=0.5, application/x-ndjson;q=0.6", NDJSON),
        ("application/x-ndjson;q=0, */*;q=0.1", JSON),
        ("application/cloudevents-batch+json", BATCH),
        ("text/event-stream", EVENT_STREAM),
        ("text/event-stream;q=0.5, application/*", JSON),
        ("application/avro, application/json;q=0.1", JSON),
    ],
)
def test_the_media_type_is_the_one_with_the_highest_weight(accept: str, media_type: str) -> None:
    assert parsed("", Accept=accept).media_type == media_type


def test_avro_is_to_be_had_of_feeds_with_a_schema() -> None:
    for name in ("application/avro", "avro/binary"):
        request = make_mocked_request("GET", "/v1/feeds/f/events", headers={"Accept": name})
        assert parse(request, SETTINGS, (JSON, AVRO)).media_type == AVRO
        with pytest.raises(Problem) as caught:
            parse(request, SETTINGS)
        assert caught.value.status == 406


def test_a_plain_event_source_follows_from_now_unless_it_says_otherwise() -> None:
    read = parsed("", Accept="text/event-stream")
    assert (read.live, read.offset) == (Live.SSE, "now")
    assert parsed("offset=-1", Accept="text/event-stream").offset == "-1"
    assert parsed("", Accept="text/event-stream", Last_Event_ID="abc").offset == "abc"
    assert parsed("from=2013-01-01T05:00:00Z", Accept="text/event-stream").from_ms == 1357016400000


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
        ("", None),
        ("*", "zstd"),
    ],
)
def test_the_content_coding_is_the_one_with_the_highest_weight(accept: str, coding: str | None) -> None:
    assert parsed("", Accept_Encoding=accept).coding == coding


def test_a_stream_is_never_brotli() -> None:
    assert parsed("live=sse&offset=now", Accept_Encoding="br").coding is None
    assert parsed("live=sse&offset=now", Accept_Encoding="br, zstd, gzip").coding == "gzip"


def test_what_is_chosen_of_a_feed() -> None:
    chosen = parsed("partition=3&key=a%20b&filter=data.n%20%3D%3D%201&max_bytes=5000")
    assert chosen.selection == Selection(3, "a b", Filter.parse("data.n == 1"))
    assert chosen.max_bytes == 5000
    assert parsed("").selection.is_all


def test_how_a_slow_client_is_treated() -> None:
    assert parsed("live=sse&offset=now&slow=conflate").slow is Slow.CONFLATE
    assert parsed("live=sse&offset=now").slow is None


def test_what_is_not_to_be_had_is_406() -> None:
    with pytest.raises(Problem) as caught:
        parsed("", Accept="text/html")
    assert caught.value.status == 406


@pytest.mark.parametrize(("text", "cursor"), [("17", 17), ("", None), ("x", None), ("9" * 5000, None)])
def test_a_cursor_that_is_no_number_is_left_out(text: str, cursor: int | None) -> None:
    assert parsed(f"live=long-poll&offset=-1&cursor={text}").cursor == cursor


def test_live_is_a_long_poll_or_server_sent_events() -> None:
    assert parsed("live=long-poll&offset=now").live is Live.LONG_POLL
    assert parsed("live=sse&offset=now").live is Live.SSE
