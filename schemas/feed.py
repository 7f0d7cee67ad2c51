"""A feed: a named stream of events, defined by one TOML file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import Misconfigured
from headrace.kafka.topics import TopicSpec
from headrace.schemas.avro_json import to_json

Format = Literal["avro", "json", "bytes"]
Compatibility = Literal[
    "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"
]

HOUR_MS = 3_600_000
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,244}")
"""Kafka's rule, with room for `.dead`."""
DEAD_LETTERS = ".dead"
"""How the names of dead letters end, feeds' and topics'."""
STREAM_DEAD_LETTERS = f"headrace.streams{DEAD_LETTERS}"
"""The feed, and the topic, of the dead letters of all streams that were made by PUT."""
STREAMS = "(streams)"
"""What metrics call feeds that were made by PUT."""


class FeedError(Misconfigured):
    """A feed definition cannot be used; the message names the file and what to change."""


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    description: str
    topic: str | None = None
    schema_name: str | None = Field(None, alias="schema")
    format: Format | None = None
    media_type: str | None = None
    key: str | None = None
    event_type: str | None = None
    partitions: int = Field(1, ge=1)
    retention_hours: float | None = Field(None, gt=0)
    compacted: bool = False
    compatibility: Compatibility = "FULL_TRANSITIVE"


@dataclass(frozen=True, slots=True)
class Feed:
    """What is known of a feed without asking Kafka.

    `schema` is the full name of an Avro type; without it the values are JSON or raw bytes of `media_type`. `key` is
    the field of the data that becomes the record's key. `retention_hours` None keeps events for ever, or, where
    `compacted`, the last event of every key. `is_stream` says that no file defines it: a client made it by PUT, and
    what was posted is read as it was posted.
    """

    name: str
    description: str
    topic: str
    format: Format
    media_type: str
    event_type: str
    schema: str | None = None
    key: str | None = None
    partitions: int = 1
    retention_hours: float | None = None
    compacted: bool = False
    compatibility: Compatibility = "FULL_TRANSITIVE"
    is_stream: bool = False

    @property
    def label(self) -> str:
        """What metrics call it: streams come and go, and have one name for all."""
        return STREAMS if self.is_stream else self.name

    @property
    def subject(self) -> str:
        """The registry's name for the schema of the feed's values (strategy TOPIC)."""
        return f"{self.topic}-value"

    @property
    def dead_letters(self) -> str:
        """The feed that holds its dead letters; those of dead letters stay where they are."""
        if holds_dead_letters(self.name):
            return self.name
        return STREAM_DEAD_LETTERS if self.is_stream else f"{self.name}{DEAD_LETTERS}"

    @property
    def dead_letter_topic(self) -> str:
        """Where events go that could not be processed or delivered."""
        return STREAM_DEAD_LETTERS if self.is_stream else f"{self.topic}{DEAD_LETTERS}"

    def topic_spec(self) -> TopicSpec:
        """The topic as it is made where it does not exist."""
        retention_ms = -1 if self.retention_hours is None else int(self.retention_hours * HOUR_MS)
        config = {"cleanup.policy": "compact"} if self.compacted else {"retention.ms": str(retention_ms)}
        return TopicSpec(self.topic, self.partitions, config)


def holds_dead_letters(feed: str) -> bool:
    """Whether a feed of this name is the dead letters of another."""
    return feed.endswith(DEAD_LETTERS)


def record_key(value: Any) -> bytes | None:
    """The key of a record from the key field's value: its text; the same for every way into the log."""
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return None
    return str(value).encode() if isinstance(value, int | float) else to_json(value).strip(b'"')


def avro_feeds(directory: Path) -> list[Feed]:
    """The feeds with a schema that `feeds/*.toml` of a directory defines; raises `FeedError`."""
    return [feed for path in feed_files(directory) if (feed := load_feed(path)).schema is not None]


def feed_files(directory: Path) -> list[Path]:
    """The definitions in a directory; raises `FeedError` where it is no directory of feeds."""
    if not (directory / "feeds").is_dir():
        raise FeedError(f"{directory}: has no folder feeds/ with a <name>.toml for each feed: give the folder above it")
    return sorted((directory / "feeds").glob("*.toml"))


def load_feed(path: Path) -> Feed:
    """The feed defined by `<name>.toml`; raises `FeedError`."""
    name = path.name.removesuffix(".toml")
    try:
        definition = _Definition.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise FeedError(f"{path}: {field}: {first['msg']}") from error
    except ValueError as error:  # TOML's, and UTF-8's
        raise FeedError(f"{path}: not TOML: {error}") from error
    topic = definition.topic or name
    if holds_dead_letters(name):
        raise FeedError(f"{path}: names that end in .dead are those of dead letters; rename the file")
    if not _TOPIC.fullmatch(topic) or not _TOPIC.fullmatch(name) or topic.strip(".") == "":
        raise FeedError(f"{path}: feeds and topics have names of letters, digits, '.', '_' and '-', at most 244")
    form: Format = definition.format or ("avro" if definition.schema_name else "json")
    if (form == "avro") != (definition.schema_name is not None):
        raise FeedError(f"{path}: schema: an Avro feed needs one, and no other feed may have one")
    if definition.key and form == "bytes":
        raise FeedError(f"{path}: key: raw bytes have no fields; leave the key out")
    media_types = {"avro": "application/json", "json": "application/json", "bytes": "application/octet-stream"}
    return Feed(
        name=name,
        description=definition.description,
        topic=topic,
        format=form,
        media_type=definition.media_type or media_types[form],
        event_type=definition.event_type or definition.schema_name or name,
        schema=definition.schema_name,
        key=definition.key,
        partitions=definition.partitions,
        retention_hours=definition.retention_hours,
        compacted=definition.compacted,
        compatibility=definition.compatibility,
    )
