"""A feed with a schema of many types, and a feed of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.schemas.catalogue import BUILT_IN, Catalogue, load_catalogue
from headrace.schemas.release import release_all
from headrace.settings import Settings

RIDE = {
    "type": "record",
    "name": "Ride",
    "namespace": "test",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "km", "type": ["null", "double"], "default": None},
        {"name": "note", "type": ["string", "null"]},
        {"name": "shared", "type": "boolean", "default": False},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["TAXI", "BUS"]}},
        {
            "name": "from",
            "type": {
                "type": "record",
                "name": "Stop",
                "fields": [
                    {"name": "name", "type": "string"},
                    {"name": "left", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
                ],
            },
        },
        {"name": "to", "type": ["null", "Stop"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    ],
}


@pytest.fixture(scope="session")
def own_feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("own")
    for part in ("feeds", "avro"):
        (directory / part).mkdir()
    (directory / "avro" / "test.Ride.avsc").write_text(json.dumps(RIDE), "utf-8")
    (directory / "feeds" / "rides.toml").write_text(
        'description = "Rides."\nschema = "test.Ride"\nkey = "id"\n', "utf-8"
    )
    (directory / "feeds" / "notes.toml").write_text('description = "Anything."\nkey = "who"\n', "utf-8")
    release_all(directory, [BUILT_IN])
    return directory


@pytest.fixture(scope="session")
def catalogue(own_feeds: Path) -> Catalogue:
    return load_catalogue(Settings(feeds=own_feeds))
