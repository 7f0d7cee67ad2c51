"""Schema ids: which number stands for which Avro schema on the wire, from the ids file beside the schemas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastavro import parse_schema
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form


class SchemaError(Exception):
    """A schema cannot be used; the message names it and what to do."""


class UnknownSchema(ValueError):
    """An event names a schema id that is not known here."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed Avro schema. `shape` is equal for schemas whose encodings are equal."""

    name: str
    parsed: Any
    shape: str

    @classmethod
    def of(cls, name: str, parsed: Any) -> Schema:
        """A schema from its parsed form."""
        return cls(name, parsed, fingerprint(to_parsing_canonical_form(parsed), "sha256"))

    def definition(self) -> dict[str, Any]:
        """The schema as it is written down, with all the types it names inside it."""
        cleaned = _without_marks(self.parsed)
        assert isinstance(cleaned, dict)
        return cleaned


def _without_marks(node: Any) -> Any:
    """What was parsed without the parser's own marks."""
    if isinstance(node, dict):
        return {key: _without_marks(value) for key, value in node.items() if not key.startswith("__")}
    return [_without_marks(item) for item in node] if isinstance(node, list) else node


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
        """The schema that an event was written with; raises `UnknownSchema`."""


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
    return [Release(**entry) for entry in json.loads(path.read_text("utf-8"))]


def read_release(release: Release, directory: Path) -> Schema:
    """The schema of a release; raises `SchemaError` where its file is not what was released."""
    content = release.path(directory).read_bytes()
    if hashlib.sha256(content).hexdigest() != release.sha256:
        raise SchemaError(f"{release.path(directory)} was changed after its release: restore it, and release a new one")
    return Schema.of(release.schema, parse_schema(json.loads(content)))


def read_current(name: str, directory: Path) -> Schema:
    """The schema of `avro/<full name>.avsc`, with the types it names taken from their own files beside it."""
    path = directory / "avro" / f"{name}.avsc"
    if not path.exists():
        raise SchemaError(f"{path}: no such schema")
    try:
        return Schema.of(name, load_schema(str(path)))
    except Exception as error:
        raise SchemaError(f"{path}: {error}") from error
