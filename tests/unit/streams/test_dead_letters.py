"""What a dead letter looks like."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from headrace.streams.dead_letters import MAX_REASON, dead_letter


def record(headers: tuple[tuple[str, bytes], ...]) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("flights", 3, 42, 1_700_000_000_000, 0, b"N1", b"\x00bad", None, 2, 4, headers)


def test_a_dead_letter_keeps_key_value_and_headers_and_says_whence_and_why() -> None:
    original = (("ce_id", b"e-1"), ("traceparent", b"00-1-1-00"))
    letter = dead_letter(record(original), "flights.dead", "undecodable: too short")
    assert (letter.topic, letter.key, letter.value) == ("flights.dead", b"N1", b"\x00bad")
    assert letter.headers[:2] == list(original)
    added = dict(letter.headers[2:])
    assert added.pop("ce_deadlettertime")
    assert added == {
        "ce_deadletterreason": "undecodable: too short",
        "ce_deadlettertopic": "flights",
        "ce_deadletterpartition": "3",
        "ce_deadletteroffset": "42",
    }


def test_a_record_without_id_gets_the_one_that_its_readers_see() -> None:
    assert ("ce_id", "flights:3:42") in dead_letter(record(()), "flights.dead", "why").headers


def test_a_dead_letter_that_dies_again_tells_of_its_last_death_only() -> None:
    once = (("ce_id", b"e-1"), ("ce_deadletterreason", b"old"), ("ce_deadletteroffset", b"1"))
    headers = dead_letter(record(once), "flights.dead", "new").headers
    assert [value for name, value in headers if name == "ce_deadletterreason"] == ["new"]
    assert [value for name, value in headers if name == "ce_deadletteroffset"] == ["42"]


def test_a_reason_has_a_bound() -> None:
    headers = dict(dead_letter(record(()), "flights.dead", "x" * 10_000).headers)
    assert headers["ce_deadletterreason"] == "x" * MAX_REASON
