"""All feeds that a process knows: the built-in ones and the user's, with their codecs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.schemas.codec import Codec, JsonOrBytesCodec, codec_of
from headrace.schemas.feed import STREAM_DEAD_LETTERS, Feed, FeedError, feed_files, load_feed
from headrace.schemas.ids import FileIds, Ids, Schema, read_current
from headrace.settings import Settings

BUILT_IN = Path(__file__).resolve().parent
DEAD_LETTER_HOURS = 30 * 24.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A feed with the codec of its values."""

    feed: Feed
    codec: Codec


class Catalogue(Mapping[str, Entry]):
    """Feeds by name. Every feed has its dead letters beside it, a feed too: `<feed>.dead`; all streams have one."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def directories(settings: Settings) -> list[Path]:
    """Where feeds and schemas are looked for."""
    return [BUILT_IN, *([settings.feeds.resolve()] if settings.feeds else [])]


def load_catalogue(settings: Settings) -> Catalogue:
    """Read all definitions; raises `FeedError` or `SchemaError` with the file and what to change."""
    found = directories(settings)
    ids = _ids(settings, found)
    entries: dict[str, Entry] = {}
    for directory in found:
        for path in feed_files(directory):
            feed = load_feed(path)
            if feed.name in entries:
                raise FeedError(f"{path}: a feed of this name exists already; rename the file")
            schema = read_current(feed.schema, directory) if feed.schema else None
            _check_key(feed, schema, path)
            entry = Entry(feed, codec_of(feed, schema, ids))
            entries[feed.name] = entry
            entries[feed.dead_letters] = _dead_letters(entry)
    entries[STREAM_DEAD_LETTERS] = _stream_dead_letters()
    return Catalogue(entries)


def _check_key(feed: Feed, schema: Schema | None, path: Path) -> None:
    """A key that no event has would quietly leave all of them without one."""
    if feed.key is None and feed.compacted:
        raise FeedError(f"{path}: key: a compacted feed needs one")
    if feed.key is None or schema is None:
        return
    fields = schema.definition().get("fields", ())
    if feed.key not in {field["name"] for field in fields}:
        raise FeedError(f"{path}: key: {schema.name} has no field {feed.key}")


def _ids(settings: Settings, found: list[Path]) -> Ids:
    if settings.schema_registry_url is None:
        return FileIds(found)
    from headrace.schemas.registry import RegistryIds

    return RegistryIds(settings.schema_registry())


def _dead_letters(entry: Entry) -> Entry:
    feed = entry.feed
    dead = replace(
        feed,
        name=feed.dead_letters,
        topic=feed.dead_letter_topic,
        description=f"Events of {feed.name} that could not be processed or delivered, with the reason.",
        partitions=1,
        retention_hours=DEAD_LETTER_HOURS,
        compacted=False,
    )
    # The original bytes, read with the original's codec: what is decodable shows its fields.
    return Entry(dead, entry.codec)


def _stream_dead_letters() -> Entry:
    codec = JsonOrBytesCodec()
    dead = Feed(
        name=STREAM_DEAD_LETTERS,
        description="Events of streams, made by PUT, that could not be delivered, with the reason.",
        topic=STREAM_DEAD_LETTERS,
        format="bytes",
        media_type=codec.content_type,
        event_type=STREAM_DEAD_LETTERS,
        retention_hours=DEAD_LETTER_HOURS,
    )
    return Entry(dead, codec)
