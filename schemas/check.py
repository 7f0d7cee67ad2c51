"""Checking that schemas grow without breaking: replayed events stay readable, and old readers read new events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
            found = _unreadable(feed, current, earlier, ids, directory)
        troubles += found
        fine.append(f"{feed.name}: {feed.schema}, {len(earlier)} released, {feed.compatibility}")
    return fine, troubles


def _unreadable(
    feed: Feed, current: Schema, earlier: Mapping[Release, Schema], ids: FileIds, directory: Path
) -> list[str]:
    """An event of every version that ever was is kept, and must be readable for ever.

    As what the newest schema says, where the level promises it; else as what its own says.
    """
    troubles: list[str] = []
    for release, schema in earlier.items():
        promised = feed.compatibility in ("BACKWARD_TRANSITIVE", "FULL_TRANSITIVE")
        codec = AvroCodec(current if promised else schema, feed.subject, ids)
        try:
            codec.decode(release.path(directory).with_suffix(".sample").read_bytes())
        except (Undecodable, OSError) as error:
            troubles.append(f"{release.schema} version {release.version}: its sample cannot be read: {error}")
    return troubles


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
        from headrace.schemas.differences import differences
    except ImportError as error:
        raise SchemaError("comparing schemas needs Apache's avro package: pip install avro") from error
    return differences(reader, writer)
