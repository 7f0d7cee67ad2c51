from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from headrace.consumers.read_request import JSON, NDJSON, Live, ReadRequest, parse
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
        ("text/event-stream", JSON),
    ],
)
def test_the_media_type_is_the_first_acceptable_one(accept: str, media_type: str) -> None:
    assert parsed("", Accept=accept).media_type == media_type


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
