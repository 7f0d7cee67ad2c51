"""An event is read no further and no oftener than filters ask."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest
from confluent_kafka import Message

from headrace.consumers.core.record import Record
from headrace.consumers.filter.event import Event
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.matcher import Matcher
from headrace.schemas.codec import JsonCodec

DEFAULTS = {"source": "/feeds/f", "type": "of.feed"}


class CountingCodec(JsonCodec):
    """Counts what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def decode(self, value: bytes) -> Any:
        self.decoded += 1
        return super().decode(value)


class Stored:
    """What confluent-kafka gives of a record."""

    def __init__(self, value: bytes, headers: list[tuple[str, bytes]], key: bytes = b"k") -> None:
        self._value, self._headers, self._key = value, headers, key

    def __len__(self) -> int:
        return len(self._value)

    def topic(self) -> str:
        return "f"

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_357_000_000_000

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def key(self) -> bytes:
        return self._key


def record(value: bytes = b'{"a": 1}', *headers: tuple[str, bytes]) -> Record:
    return Record(cast("Message", Stored(value, list(headers))), partition=3, offset=17)


TYPES: list[tuple[list[tuple[str, bytes]], str]] = [
    ([], "of.feed"),
    ([("ce_type", b"a")], "a"),
    ([("ce_type", b"")], "of.feed"),
    ([("ce_type", b"a"), ("ce_type", b"b"), ("ce_type", b"")], "b"),
    ([("type", b"a"), ("CE_type", b"b")], "of.feed"),
    ([("ce_type", b"\xff")], "�"),
]


@pytest.mark.parametrize(("headers", "expected"), TYPES)
def test_its_type_is_that_of_its_json_form(headers: list[tuple[str, bytes]], expected: str) -> None:
    one = record(b"{}", *headers)
    assert Event.of(one, JsonCodec(), DEFAULTS).type == expected
    assert orjson.loads(one.json(JsonCodec(), DEFAULTS))["type"] == expected


def test_it_is_decoded_only_when_a_filter_asks_for_the_body() -> None:
    codec = CountingCodec()
    event = Event.of(record(b'{"a": 1}', ("ce_x", b"y")), codec, DEFAULTS)
    matcher: Matcher[str] = Matcher()
    matcher.add("all", None, frozenset())
    matcher.add("type", None, frozenset({"of.feed"}))
    matcher.add("other type", Filter.parse("data.a == 1"), frozenset({"other"}))
    matcher.add("key", Filter.parse("partitionkey == 'k' && partition == 3"), frozenset())
    matcher.add("extension", Filter.parse("extensions.x.startsWith('y')"), frozenset())
    assert set(matcher.matching(event)) == {"all", "type", "key", "extension"}
    assert codec.decoded == 0
    matcher.add("body", Filter.parse("data.a == 1"), frozenset())
    assert "body" in matcher.matching(event)
    assert codec.decoded == 1


def test_a_filter_is_evaluated_once_however_many_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[str] = []
    evaluate = Filter.evaluate

    def counted(self: Filter, view: Any) -> bool:
        evaluated.append(self.text)
        return evaluate(self, view)

    monkeypatch.setattr(Filter, "evaluate", counted)
    matcher: Matcher[int] = Matcher()
    for n in range(100):
        matcher.add(n, Filter.parse("data.a > 0"), frozenset({"of.feed"} if n % 2 else ()))
    for n in range(100, 200):
        matcher.add(n, Filter.parse(f"data.a == {n} && data.b > 1"), frozenset())
    event = Event.of(record(), JsonCodec(), DEFAULTS)
    assert set(matcher.matching(event)) == set(range(100))
    assert event.matches(Filter.parse("data.a > 0"))
    assert evaluated == ["data.a > 0"]


def test_a_value_that_cannot_be_decoded_has_no_data() -> None:
    event = Event.of(record(b"{broken"), JsonCodec(), DEFAULTS)
    assert not event.matches(Filter.parse("data.a == 1"))
    assert not event.matches(Filter.parse("has(data.a)"))
    assert event.matches(Filter.parse("dataerror.contains('not JSON') && type == 'of.feed'"))


def test_data_nested_as_deep_as_json_may_be_has_attributes_still() -> None:
    deep = b"[" * 1024 + b"]" * 1024
    for text in ("data == 1", "data[0] == 1", "size(data) == 1"):
        event = Event.of(record(deep), JsonCodec(), DEFAULTS)
        assert not event.matches(Filter.parse(text))
        assert event.matches(Filter.parse("partition > 2 && type == 'of.feed'"))
