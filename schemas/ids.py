"""Schema ids: which number stands for which Avro schema on the wire, from the ids file beside the schemas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastavro import parse_schema
from fastavro.schema import load_schema

from headrace.errors import Misconfigured
from headrace.schemas.defaults import with_values


class SchemaError(Misconfigured):
    """A schema cannot be used; the message names it and what to do."""


class UnknownSchema(ValueError):
    """An event names a schema id that is not known here."""


class RegistryUnavailable(Exception):
    """The registry does not answer: nothing can be said of an event whose schema is not known yet."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed Avro schema. `shape` is equal for schemas whose encodings are equal and mean the same."""

    name: str
    parsed: Any
    shape: str
    written: dict[str, Any] | list[Any] | str

    @classmethod
    def of(cls, name: str, parsed: Any) -> Schema:
        """A schema from its parsed form."""
        shape = hashlib.sha256(json.dumps(_shape(parsed), sort_keys=True).encode()).hexdigest()
        return cls(name, with_values(parsed), shape, _without_marks(parsed))

    def definition(self) -> dict[str, Any]:
        """The schema as it is written down, with all the types it names inside it."""
        assert isinstance(self.written, dict)
        return self.written


def _without_marks(node: Any) -> Any:
    """What was parsed without the parser's own marks."""
    if isinstance(node, dict):
        return {key: _without_marks(value) for key, value in node.items() if not key.startswith("__")}
    return [_without_marks(item) for item in node] if isinstance(node, list) else node


_SHAPING = ("type", "name", "items", "values", "symbols", "size", "logicalType", "precision", "scale")


def _shape(node: Any) -> Any:
    """What decides about bytes and their meaning: Avro's parsing canonical form, but with the logical types."""
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, dict):
        return node
    shape = {part: _shape(node[part]) for part in _SHAPING if part in node}
    if "fields" in node:
        shape["fields"] = [_shape(field) for field in node["fields"]]
    return shape["type"] if shape.keys() == {"type"} else shape


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a schema that events may have been written with; it never changes. `sha256` is of its file."""

    schema: str
    version: int
    id: int
    sha256: str

    def path(self, directory: Path) -> Path:
        """The file that holds it; its sample has the suffix `.sample`."""
        return directory / "released" / self.schema / f"{self.version}.avsc"


class Ids(Protocol):
    """Where ids come from: the ids file, or a registry."""

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id to write with; raises `SchemaError` where the schema was never released."""

    def schema_of(self, schema_id: int) -> Schema:
        """The schema that an event was written with; raises `UnknownSchema`, or `RegistryUnavailable`: ask again."""


class FileIds:
    """Ids from `ids.json` in each of the directories."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._schemas: dict[int, Schema] = {}
        self._ids: dict[tuple[str, str], int] = {}
        for directory in directories:
            for release in releases(directory):
                schema = read_release(release, directory)
                if release.id in self._schemas:
                    raise SchemaError(f"{directory}/ids.json: id {release.id} is taken; give {release.schema} another")
                self._schemas[release.id] = schema
                self._ids[schema.name, schema.shape] = release.id

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id of the released version that equals the schema."""
        try:
            return self._ids[schema.name, schema.shape]
        except KeyError:
            raise SchemaError(
                f"{schema.name} was changed since its last release: run `headrace schemas release`"
            ) from None

    def schema_of(self, schema_id: int) -> Schema:
        """The released schema with this id."""
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise UnknownSchema(f"schema id {schema_id} is not in ids.json") from None


def releases(directory: Path) -> list[Release]:
    """All released versions of a directory, oldest first."""
    path = directory / "ids.json"
    if not path.exists():
        return []
    try:
        return [Release(**entry) for entry in json.loads(path.read_text("utf-8"))]
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{path}: {error}: restore what `headrace schemas release` wrote") from error


def read_release(release: Release, directory: Path) -> Schema:
    """The schema of a release; raises `SchemaError` where its file is not what was released."""
    try:
        content = release.path(directory).read_bytes()
    except OSError as error:
        raise SchemaError(f"{release.path(directory)}: {error.strerror}: restore it") from error
    if hashlib.sha256(content).hexdigest() != release.sha256:
        raise SchemaError(f"{release.path(directory)} was changed after its release: restore it, and release a new one")
    return Schema.of(release.schema, parse_schema(json.loads(content)))


def read_current(name: str, directory: Path) -> Schema:
    """The schema of `avro/<full name>.avsc`, with the types it names taken from their own files beside it."""
    path = directory / "avro" / f"{name}.avsc"
    if not path.exists():
        raise SchemaError(f"{path}: no such schema")
    try:
        schema = Schema.of(name, load_schema(str(path)))
    except Exception as error:
        raise SchemaError(f"{path}: {error}") from error
    if not isinstance(schema.parsed, dict):
        raise SchemaError(f"{path}: events are of one type, best a record; give the union a field of its own")
    return schema
