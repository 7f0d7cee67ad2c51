"""Releasing a schema: from then on events may be written with it, so it never changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

from fastavro import schemaless_writer

from headrace.schemas.check import incompatibilities
from headrace.schemas.feed import avro_feeds
from headrace.schemas.ids import Release, Schema, SchemaError, read_current, read_release, releases
from headrace.schemas.sample import sample

FIRST_OWN_ID = 1000
"""Ids below are for the built-in schemas, so that a later Headrace does not take one that a user's events have."""


def release_all(directory: Path, others: Iterable[Path] = ()) -> list[Release]:
    """Release every schema of a directory that is not what was released last. Returns the new releases.

    `others` are directories whose ids are taken. Raises `SchemaError` for a change that readers could not bear.
    """
    known = releases(directory)
    others = list(others)
    taken = max((r.id for d in (directory, *others) for r in releases(d)), default=0)
    if others:
        taken = max(taken, FIRST_OWN_ID - 1)
    made: list[Release] = []
    for feed in avro_feeds(directory):
        assert feed.schema is not None
        current = read_current(feed.schema, directory)
        earlier = [r for r in known + made if r.schema == feed.schema]
        if earlier and read_release(earlier[-1], directory).definition() == current.definition():
            continue
        if troubles := incompatibilities(feed, current, {r: read_release(r, directory) for r in earlier}):
            raise SchemaError("\n".join(troubles))
        taken += 1
        made.append(_write(current, len(earlier) + 1, taken, directory))
    if made:
        entries = [asdict(release) for release in known + made]
        lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
        (directory / "ids.json").write_text(f"[\n{lines}\n]\n", "utf-8")
    return made


def _write(schema: Schema, version: int, schema_id: int, directory: Path) -> Release:
    content = (json.dumps(schema.definition(), indent=2) + "\n").encode()
    release = Release(schema.name, version, schema_id, hashlib.sha256(content).hexdigest())
    path = release.path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    encoded = BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    encoded.seek(0, 2)
    schemaless_writer(encoded, schema.parsed, sample(schema.parsed))
    path.with_suffix(".sample").write_bytes(encoded.getvalue())
    return release
