"""Checking that schemas grow without breaking: replayed events stay readable, and old readers read new events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.schemas.codec import AvroCodec, Undecodable
from headrace.schemas.feed import Feed, avro_feeds
from headrace.schemas.ids import FileIds, Release, Schema, SchemaError, read_current, read_release, releases


def check_directory(directory: Path, ids: FileIds) -> tuple[list[str], list[str]]:
    """Check every Avro feed of a directory. Returns a line for each feed, and all that is wrong."""
    fine: list[str] = []
    troubles: list[str] = []
    known = releases(directory)
    for feed in avro_feeds(directory):
        assert feed.schema is not None
        try:
            current = read_current(feed.schema, directory)
            earlier = {r: read_release(r, directory) for r in known if r.schema == feed.schema}
        except SchemaError as error:
            troubles.append(str(error))
            continue
        found = incompatibilities(feed, current, earlier)
        if not found and (not earlier or list(earlier.values())[-1].definition() != current.definition()):
            found = [f"{feed.name}: {feed.schema} was changed since its last release: run `headrace schemas release`"]
        if not found:
            codec = AvroCodec(current, feed.subject, ids)
            found = [trouble for release in earlier if (trouble := _undecodable(release, codec, directory))]
        troubles += found
        fine.append(f"{feed.name}: {feed.schema}, {len(earlier)} released, {feed.compatibility}")
    return fine, troubles


def _undecodable(release: Release, codec: AvroCodec, directory: Path) -> str | None:
    """An event of every version that ever was is kept, and must be readable for ever."""
    try:
        codec.decode(release.path(directory).with_suffix(".sample").read_bytes())
    except (Undecodable, OSError) as error:
        return f"{release.schema} version {release.version}: its sample cannot be read: {error}"
    return None


def incompatibilities(feed: Feed, current: Schema, earlier: Mapping[Release, Schema]) -> list[str]:
    """What the feed's compatibility level forbids, with feed, version, field and reason; empty when all is well."""
    level = feed.compatibility
    if level == "NONE":
        return []
    against = list(earlier.items()) if level.endswith("_TRANSITIVE") else list(earlier.items())[-1:]
    troubles: list[str] = []
    for release, schema in against:
        which = f"{release.schema} version {release.version}"
        if not level.startswith("FORWARD"):
            troubles += [
                f"{feed.name}: events of {which} could not be read any more: {reason}"
                for reason in _reasons(reader=current, writer=schema)
            ]
        if not level.startswith("BACKWARD"):
            troubles += [
                f"{feed.name}: readers of {which} could not read new events: {reason}"
                for reason in _reasons(reader=schema, writer=current)
            ]
    return troubles


def _reasons(reader: Schema, writer: Schema) -> list[str]:
    try:
        from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
        from avro.schema import parse
    except ImportError as error:
        raise SchemaError("comparing schemas needs Apache's avro package: pip install avro") from error

    old, new = reader.definition(), writer.definition()
    result = ReaderWriterCompatibilityChecker().get_compatibility(parse(json.dumps(old)), parse(json.dumps(new)))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [
        f"{_field(location, old)}: {_words(kind.name)}{f' ({message})' if message else ''}"
        for location, message, kind in zip(
            sorted(result.locations), sorted(result.messages), result.incompatibilities, strict=False
        )
    ]


def _words(name: str) -> str:
    return {
        "reader_field_missing_default_value": "the reader needs it, the writer has none, and there is no default",
        "missing_enum_symbols": "the reader lacks symbols that the writer has",
        "type_mismatch": "the types do not fit",
        "name_mismatch": "the names differ",
        "missing_union_branch": "the reader lacks a branch that the writer has",
        "fixed_size_mismatch": "the sizes differ",
    }.get(name, name.replace("_", " "))


def _field(location: str, schema: Any) -> str:
    """A location such as `/fields/1/type` as the field's name: `flight.type`."""
    names: list[str] = []
    node = schema
    for part in location.strip("/").split("/"):
        if not part:
            continue
        node = node[int(part)] if re.fullmatch(r"\d+", part) and isinstance(node, list) else _member(node, part)
        if isinstance(node, dict) and "name" in node and part.isdigit():
            names.append(str(node["name"]))
    return ".".join(names) or str(schema["name"])


def _member(node: Any, part: str) -> Any:
    return node.get(part) if isinstance(node, dict) else None
