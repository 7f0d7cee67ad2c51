"""What a dead letter looks like."""

from __future__ import annotations

from headrace.kafka.bridge import Outgoing
from headrace.schemas.dead_letter import MAX_REASON, MAX_VALUE_BYTES, dead_letter


def letter_of(headers: tuple[tuple[str, bytes], ...], reason: str, value: bytes = b"\x00bad", **said: str) -> Outgoing:
    return dead_letter(("flights", 3, 42), b"N1", value, headers, "flights.dead", reason, **said)


def test_a_dead_letter_keeps_key_value_and_headers_and_says_whence_and_why() -> None:
    original = (("ce_id", b"e-1"), ("traceparent", b"00-1-1-00"))
    letter = letter_of(original, "undecodable: too short")
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
    assert ("ce_id", "flights:3:42") in letter_of((), "why").headers


def test_a_dead_letter_that_dies_again_tells_of_its_last_death_only() -> None:
    once = (("ce_id", b"e-1"), ("ce_deadletterreason", b"old"), ("ce_deadletteroffset", b"1"))
    headers = letter_of(once, "new").headers
    assert [value for name, value in headers if name == "ce_deadletterreason"] == ["new"]
    assert [value for name, value in headers if name == "ce_deadletteroffset"] == ["42"]


def test_a_reason_has_a_bound() -> None:
    headers = dict(letter_of((), "x" * 10_000).headers)
    assert headers["ce_deadletterreason"] == "x" * MAX_REASON


def test_what_else_is_to_be_said_is_said() -> None:
    assert ("ce_deadlettersubscription", "partner") in letter_of((), "gone", subscription="partner").headers


def test_a_value_for_which_there_is_no_room_is_left_out_and_that_is_said() -> None:
    letter = letter_of((), "too often", b"x" * (MAX_VALUE_BYTES + 1))
    assert letter.value is None
    assert ("ce_deadletteromitted", f"{MAX_VALUE_BYTES + 1} bytes") in letter.headers
