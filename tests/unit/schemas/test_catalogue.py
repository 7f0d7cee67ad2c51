"""The feeds of a user's directory, and the errors that say which file to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from support.feeds import release, write_feed, write_schema

from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.schemas.codec import AvroCodec, BytesCodec, JsonCodec
from headrace.schemas.feed import STREAM_DEAD_LETTERS, Feed, FeedError
from headrace.schemas.ids import SchemaError
from headrace.settings import Settings


def _load(directory: Path) -> Catalogue:
    return load_catalogue(Settings(feeds=directory))


def test_a_users_feeds_are_beside_the_built_in_ones(tmp_path: Path) -> None:
    write_schema(tmp_path, "test.Trip", [{"name": "id", "type": "string"}])
    write_feed(tmp_path, "trips", schema="test.Trip", key="id", topic="trips.v2", partitions=3, retention_hours=1.5)
    write_feed(tmp_path, "notes", key="id")
    write_feed(tmp_path, "photos", format="bytes", media_type="image/jpeg")
    release(tmp_path)
    catalogue = _load(tmp_path)
    assert "flights.departures" in catalogue
    feed = catalogue["trips"].feed
    assert (feed.topic, feed.subject, feed.event_type) == ("trips.v2", "trips.v2-value", "test.Trip")
    assert feed.topic_spec().partitions == 3
    assert feed.topic_spec().config == {"retention.ms": "5400000"}
    codecs = [type(catalogue[name].codec) for name in ("trips", "notes", "photos")]
    assert codecs == [AvroCodec, JsonCodec, BytesCodec]


def test_every_feed_has_its_dead_letters(tmp_path: Path) -> None:
    write_feed(tmp_path, "orders", topic="orders.v1", compacted=True, key="id", partitions=4)
    catalogue = _load(tmp_path)
    dead = catalogue["orders.dead"]
    assert (dead.feed.topic, dead.feed.partitions, dead.feed.compacted) == ("orders.v1.dead", 1, False)
    assert dead.codec is catalogue["orders"].codec
    feeds = {name for name in catalogue if not name.endswith(".dead")}
    assert set(catalogue) - feeds == {f"{name}.dead" for name in feeds} | {STREAM_DEAD_LETTERS}


def test_those_of_all_streams_are_one_feed_kept_as_long_as_others(tmp_path: Path) -> None:
    write_feed(tmp_path, "orders")
    catalogue = _load(tmp_path)
    dead = catalogue[STREAM_DEAD_LETTERS]
    assert dead.feed.topic_spec().config == catalogue["orders.dead"].feed.topic_spec().config
    stream = Feed("chat-1", "", "chat-1.0", "json", "application/json", "chat-1", is_stream=True)
    assert stream.dead_letters == stream.dead_letter_topic == dead.feed.topic == STREAM_DEAD_LETTERS
    assert dead.feed.dead_letters == STREAM_DEAD_LETTERS
    assert dead.codec.decode(b"\xff") == b"\xff"
    assert orjson.dumps(dead.codec.decode(b'{"n": 1}')) == b'{"n": 1}'


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("a", {"partitions": 0}, "partitions: "),
    ("a", {"retention_hours": 0}, "retention_hours: "),
    ("a", {"retention": 5}, "retention: "),
    ("a", {"format": "xml"}, "format: "),
    ("a", {"compatibility": "SOME"}, "compatibility: "),
    ("a", {"format": "avro"}, "schema: an Avro feed needs one"),
    ("a", {"format": "json", "schema": "flights.Departure"}, "schema: an Avro feed needs one"),
    ("a", {"format": "bytes", "key": "id"}, "key: raw bytes have no fields"),
    ("a", {"compacted": True}, "key: a compacted feed needs one"),
    ("a", {"topic": "no spaces"}, "letters, digits"),
    ("a", {"topic": ".."}, "letters, digits"),
    ("a b", {}, "letters, digits"),
    ("a" * 245, {}, "at most 244"),
    ("flights.dead", {}, "rename the file"),
    ("flights.departures", {}, "a feed of this name exists already; rename the file"),
]


@pytest.mark.parametrize(("name", "definition", "said"), WRONG)
def test_a_wrong_definition_is_told_with_its_file_and_what_to_change(
    tmp_path: Path, name: str, definition: dict[str, Any], said: str
) -> None:
    write_feed(tmp_path, name, **definition)
    with pytest.raises(FeedError) as raised:
        _load(tmp_path)
    assert str(raised.value).startswith(str(tmp_path / "feeds" / f"{name}.toml"))
    assert said in str(raised.value)


@pytest.mark.parametrize("content", [b"description = ", b"description = 'Gr\xfc\xdfe'", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_told(tmp_path: Path, content: bytes) -> None:
    write_feed(tmp_path, "a")
    (tmp_path / "feeds" / "a.toml").write_bytes(content)
    with pytest.raises(FeedError, match=r"a\.toml: not TOML"):
        _load(tmp_path)


def test_a_missing_description_is_told(tmp_path: Path) -> None:
    write_feed(tmp_path, "a")
    (tmp_path / "feeds" / "a.toml").write_text("")
    with pytest.raises(FeedError, match=r"a\.toml: description: "):
        _load(tmp_path)


def test_a_key_that_no_event_has_is_told(tmp_path: Path) -> None:
    write_schema(tmp_path, "test.Trip", [{"name": "id", "type": "string"}])
    write_feed(tmp_path, "trips", schema="test.Trip")
    release(tmp_path)
    write_feed(tmp_path, "trips", schema="test.Trip", key="ident")
    with pytest.raises(FeedError, match=r"trips\.toml: key: test\.Trip has no field ident"):
        _load(tmp_path)


def test_a_schema_that_is_not_there_or_was_not_released_is_told(tmp_path: Path) -> None:
    write_feed(tmp_path, "trips", schema="test.Trip")
    with pytest.raises(SchemaError, match=r"avro/test\.Trip\.avsc: no such schema"):
        _load(tmp_path)
    write_schema(tmp_path, "test.Trip", [{"name": "id", "type": "strin"}])
    with pytest.raises(SchemaError, match=r"avro/test\.Trip\.avsc: "):
        _load(tmp_path)
    write_schema(tmp_path, "test.Trip", [{"name": "id", "type": "string"}])
    with pytest.raises(SchemaError, match="run `headrace schemas release`"):
        _load(tmp_path)


def test_an_id_of_two_directories_is_told(tmp_path: Path) -> None:
    write_schema(tmp_path, "test.Trip", [{"name": "id", "type": "string"}])
    write_feed(tmp_path, "trips", schema="test.Trip")
    release(tmp_path)
    path = tmp_path / "ids.json"
    path.write_text(path.read_text().replace('"id": 1000', '"id": 4'))
    with pytest.raises(SchemaError, match=r"ids\.json: id 4 is taken; give test\.Trip another"):
        _load(tmp_path)


@pytest.mark.parametrize("content", ["{", '[{"schema": "x"}]', "7"])
def test_a_damaged_ids_file_is_told(tmp_path: Path, content: str) -> None:
    write_feed(tmp_path, "a")
    (tmp_path / "ids.json").write_text(content)
    with pytest.raises(SchemaError, match=r"ids\.json: .*restore"):
        _load(tmp_path)


@pytest.mark.parametrize("where", ["nowhere", "trips/feeds"])
def test_a_directory_that_holds_no_feeds_is_told(tmp_path: Path, where: str) -> None:
    write_feed(tmp_path / "trips", "a")
    with pytest.raises(FeedError, match="has no folder feeds/"):
        _load(tmp_path / where)
