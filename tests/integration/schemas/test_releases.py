"""`headrace schemas check` and `headrace schemas release` on directories of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.feeds import release, write_feed, write_schema
from typer.testing import CliRunner, Result

from headrace.cli import app
from headrace.schemas.avro_json import to_json
from headrace.schemas.catalogue import BUILT_IN, load_catalogue
from headrace.schemas.ids import SchemaError
from headrace.settings import Settings

NAME = "test.Trip"
V1: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "seats", "type": "int"},
    {"name": "class", "type": {"type": "enum", "name": "Class", "symbols": ["A", "B"]}},
    {"name": "note", "type": ["null", "string"], "default": None},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
]


def _run(command: str, directory: Path) -> Result:
    return CliRunner().invoke(app, ["schemas", command, "--directory", str(directory)])


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A directory with version 1 released."""
    write_feed(tmp_path, "trips", schema=NAME, key="id")
    write_schema(tmp_path, NAME, V1)
    release(tmp_path)
    return tmp_path


def _change(name: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**field, **changes} if field["name"] == name else field for field in V1]


REMOVED = [field for field in V1 if field["name"] != "seats"]
ADDED = [*V1, {"name": "crew", "type": "int"}]
RETYPED = _change("seats", type="string")
NARROWED = _change("class", type={"type": "enum", "name": "Class", "symbols": ["A"]})
RESCALED = _change("price", type={"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 3})
WIDENED = _change("seats", type="long")
OPTIONAL_ADDED = [*V1, {"name": "crew", "type": "int", "default": 0}]

# What was changed, the field that a complaint must name, a word of its reason, and the levels that forbid it.
CHANGES: list[tuple[list[dict[str, Any]], str, str, set[str]]] = [
    (REMOVED, "seats", "no default", {"FULL_TRANSITIVE", "FULL", "FORWARD", "FORWARD_TRANSITIVE"}),
    (ADDED, "crew", "no default", {"FULL_TRANSITIVE", "FULL", "BACKWARD", "BACKWARD_TRANSITIVE"}),
    (
        RETYPED,
        "seats",
        "types do not fit",
        {"FULL_TRANSITIVE", "FULL", "BACKWARD", "FORWARD", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE"},
    ),
    (NARROWED, "class", "lacks symbols", {"FULL_TRANSITIVE", "FULL", "BACKWARD", "BACKWARD_TRANSITIVE"}),
    (
        RESCALED,
        "price",
        "decimal(6, 2)",
        {"FULL_TRANSITIVE", "FULL", "BACKWARD", "FORWARD", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE"},
    ),
    (WIDENED, "seats", "types do not fit", {"FULL_TRANSITIVE", "FULL", "FORWARD", "FORWARD_TRANSITIVE"}),
    (OPTIONAL_ADDED, "", "", set()),
]
LEVELS = ["FULL_TRANSITIVE", "FULL", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "NONE"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("fields", "field", "reason", "forbidden"), CHANGES)
def test_each_level_forbids_what_it_says(
    released: Path, fields: list[dict[str, Any]], field: str, reason: str, forbidden: set[str], level: str
) -> None:
    write_feed(released, "trips", schema=NAME, key="id", compatibility=level)
    write_schema(released, NAME, fields)
    result = _run("check", released)
    assert result.exit_code == 1
    if level in forbidden:
        assert f": {field}: " in result.stderr
        assert reason in result.stderr
        assert _run("release", released).exit_code == 1
        assert len(json.loads((released / "ids.json").read_text())) == 1
    else:
        assert "run `headrace schemas release`" in result.stderr
        assert _run("release", released).exit_code == 0
        checked = _run("check", released)
        assert checked.exit_code == 0, checked.stderr
        assert "2 released" in checked.stdout


def test_of_several_faults_each_is_told_with_its_own_field(released: Path) -> None:
    write_schema(
        released,
        NAME,
        [*(f for f in NARROWED if f["name"] != "id"), {"name": "a", "type": "int"}, {"name": "z", "type": "int"}],
    )
    complaints = _run("check", released).stderr.splitlines()
    old, new = "could not be read any more", "could not read new events"
    assert sum(old in line and ": a: the reader needs it" in line for line in complaints) == 1
    assert sum(old in line and ": z: the reader needs it" in line for line in complaints) == 1
    assert (
        sum(old in line and ": class: the reader lacks symbols" in line and "'B'" in line for line in complaints) == 1
    )
    assert sum(new in line and ": id: the reader needs it" in line for line in complaints) == 1
    assert all("test.Trip version 1" in line for line in complaints[:4])


def test_a_fault_deep_inside_is_told_with_its_path(tmp_path: Path) -> None:
    def fields(kind: str) -> list[dict[str, Any]]:
        leg = {"type": "record", "name": "Leg", "fields": [{"name": "n", "type": kind}]}
        return [{"name": "legs", "type": ["null", {"type": "array", "items": leg}], "default": None}]

    write_feed(tmp_path, "trips", schema=NAME)
    write_schema(tmp_path, NAME, fields("int"))
    release(tmp_path)
    write_schema(tmp_path, NAME, fields("string"))
    assert "legs.items.n: the types do not fit" in _run("check", tmp_path).stderr


def test_a_transitive_level_looks_at_every_version(released: Path) -> None:
    without = [field for field in V1 if field["name"] != "note"]
    again = [*without, {"name": "note", "type": "int", "default": 0}]
    for level, complaint in (("FULL", False), ("FULL_TRANSITIVE", True)):
        directory = released / level
        write_feed(directory, "trips", schema=NAME, compatibility=level)
        for fields in (V1, without):
            write_schema(directory, NAME, fields)
            release(directory)
        write_schema(directory, NAME, again)
        assert ("version 1" in _run("check", directory).stderr) is complaint


def test_a_release_writes_id_version_and_sample(released: Path) -> None:
    write_schema(released, NAME, OPTIONAL_ADDED)
    result = _run("release", released)
    assert result.stdout == "test.Trip version 2 has the id 1001\n"
    entries = json.loads((released / "ids.json").read_text())
    assert [(entry["schema"], entry["version"], entry["id"]) for entry in entries] == [(NAME, 1, 1000), (NAME, 2, 1001)]
    assert (released / "released" / NAME / "2.sample").read_bytes()[:5] == b"\0" + (1001).to_bytes(4, "big")
    assert _run("release", released).stdout == "Every schema is as it was released.\n"


def test_a_changed_released_file_is_refused(released: Path) -> None:
    path = released / "released" / NAME / "1.avsc"
    path.write_text(path.read_text().replace("seats", "chairs"))
    for command in ("check", "release"):
        result = _run(command, released)
        assert result.exit_code == 1
        assert f"{path} was changed after its release: restore it" in result.stderr
    with pytest.raises(SchemaError, match="restore it"):
        load_catalogue(Settings(feeds=released))


@pytest.mark.parametrize(
    "damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.write_bytes(b"")]
)
def test_a_sample_that_cannot_be_read_fails_the_check(released: Path, damage: Any) -> None:
    damage(released / "released" / NAME / "1.sample")
    result = _run("check", released)
    assert result.exit_code == 1
    assert "test.Trip version 1: its sample cannot be read" in result.stderr


@pytest.mark.parametrize("fields", [OPTIONAL_ADDED, RESCALED])
def test_a_change_that_was_not_released_does_not_start(released: Path, fields: list[dict[str, Any]]) -> None:
    write_schema(released, NAME, fields)
    with pytest.raises(SchemaError, match="run `headrace schemas release`"):
        load_catalogue(Settings(feeds=released))


def test_events_of_version_1_are_read_as_the_current_version(released: Path) -> None:
    trip = {"id": "t1", "seats": 3, "class": "B", "note": "window", "price": "12.30"}
    written = load_catalogue(Settings(feeds=released))["trips"].codec.encode(trip)
    renamed = [{**field, "name": "remark", "aliases": ["note"]} if field["name"] == "note" else field for field in V1]
    added: list[dict[str, Any]] = [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
        {
            "name": "tip",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "default": "\u0004\u00d2",
        },
        {"name": "raw", "type": "bytes", "default": "\u00ff"},
    ]
    write_schema(released, NAME, [*renamed, *added])
    write_feed(released, "trips", schema=NAME, key="id", compatibility="BACKWARD_TRANSITIVE")
    release(released)
    assert _run("check", released).exit_code == 0
    codec = load_catalogue(Settings(feeds=released))["trips"].codec
    assert orjson.loads(to_json(codec.decode(written))) == {
        "id": "t1",
        "seats": 3,
        "class": "B",
        "remark": "window",
        "price": "12.30",
        "at": "1970-01-01T00:00:00Z",
        "tip": "12.34",
        "raw": "/w==",
    }


def test_the_built_in_schemas_pass_the_check(tmp_path: Path) -> None:
    copy = tmp_path / "schemas"
    shutil.copytree(BUILT_IN, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    result = CliRunner().invoke(app, ["schemas", "check"], env={"HEADRACE_FEEDS": None})
    assert result.exit_code == 0, result.stderr
    path = copy / "avro" / "flights.Departure.avsc"
    path.write_text(path.read_text().replace('"name": "flight", "type": "int"', '"name": "flight", "type": "string"'))
    changed = CliRunner().invoke(app, ["schemas", "check", "--directory", str(copy)])
    assert changed.exit_code == 1


def test_a_directory_without_feeds_is_refused(tmp_path: Path) -> None:
    for command in ("check", "release"):
        result = _run(command, tmp_path)
        assert result.exit_code == 1
        assert "has no folder feeds/" in result.stderr
