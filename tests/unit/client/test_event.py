from __future__ import annotations

from headrace.client import Event, NewEvent, Page


def test_an_event_that_was_read_shows_its_attributes_and_keeps_the_rest() -> None:
    raw = {
        "specversion": "1.0",
        "id": "e-1",
        "type": "flight",
        "source": "/feeds/flights",
        "time": "2013-01-01T10:00:00Z",
        "partitionkey": "N14228",
        "partition": 3,
        "sequence": "0000000000000000042",
        "data": {"carrier": "UA"},
        "trace": "t",
    }
    event = Event(raw)
    assert (event.id, event.type, event.source, event.time) == ("e-1", "flight", "/feeds/flights", raw["time"])
    assert (event.key, event.partition, event.sequence, event.subject) == ("N14228", 3, 42, None)
    assert event.data == {"carrier": "UA"}
    assert event.raw["trace"] == "t"


def test_bytes_and_tombstones_are_told_apart() -> None:
    assert Event({"id": "1", "data_base64": "AAE="}).data == b"\x00\x01"
    assert Event({"id": "1", "data": None}).data is None
    assert Event({"id": "1", "data_base64": "AA==", "dataerror": "no schema"}).data_error == "no schema"


def test_a_new_event_has_an_id_of_its_own() -> None:
    first, second = NewEvent("t", "/s", 1), NewEvent("t", "/s", 1)
    assert first.id != second.id
    assert first.structured() == {
        "specversion": "1.0",
        "id": first.id,
        "type": "t",
        "source": "/s",
        "time": first.time,
        "data": 1,
    }
    assert NewEvent("t", "/s", b"\x00\x01").structured()["data_base64"] == "AAE="


def test_a_page_is_parsed_only_when_its_events_are_asked_for() -> None:
    page = Page(b"not json\n", "A", up_to_date=False)
    assert len(page) == 1
    page = Page(b'{"id":"1"}\n{"id":"2"}\n', "A", up_to_date=False)
    assert [event.id for event in page.events] == ["1", "2"]
    assert page.events is page.events
