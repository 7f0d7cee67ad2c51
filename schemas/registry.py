"""Schema ids from a Confluent-compatible registry."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from fastavro import parse_schema

from headrace.schemas.ids import RegistryUnavailable, Schema, SchemaError, UnknownSchema

NOT_FOUND = 404
UNKNOWN_FOR_S = 5.0
"""How long an id that the registry did not know is not asked for again."""


class RegistryIds:
    """Ids by `<topic>-value` (strategy TOPIC, asked for by name: the client's own default looks associations up).

    `settings` are the client's, `url` among them. What was answered once is kept: ids never change their meaning.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._client = SchemaRegistryClient(settings)
        self._schemas: dict[int, Schema] = {}
        self._unknown: dict[int, float] = {}

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id of the schema, registered under the subject where it was not."""
        registered = RegistrySchema(json.dumps(schema.definition()), "AVRO")
        try:
            return self._client.register_schema(subject, registered)
        except SchemaRegistryError as error:
            raise SchemaError(f"the registry refuses {schema.name} for {subject}: {error.error_message}") from error
        except Exception as error:  # whatever the HTTP client raises
            raise SchemaError(f"the schema registry does not answer: {error}") from error

    def schema_of(self, schema_id: int) -> Schema:
        """The schema with this id. Blocks at its first use; raises `UnknownSchema` or `RegistryUnavailable`."""
        if (known := self._schemas.get(schema_id)) is not None:
            return known
        if time.monotonic() - self._unknown.get(schema_id, -UNKNOWN_FOR_S) < UNKNOWN_FOR_S:
            raise UnknownSchema(f"the registry does not know schema id {schema_id}")
        try:
            registered = self._client.get_schema(schema_id)
            named: dict[str, Any] = {}
            self._add_references(registered, named)
        except SchemaRegistryError as error:
            if error.http_status_code != NOT_FOUND:
                raise RegistryUnavailable(str(error)) from error
            self._unknown[schema_id] = time.monotonic()
            raise UnknownSchema(f"the registry does not know schema id {schema_id}") from error
        except Exception as error:  # as above
            raise RegistryUnavailable(str(error)) from error
        try:
            parsed = parse_schema(json.loads(registered.schema_str or ""), named)
        except Exception as error:  # JSON's and fastavro's many kinds
            raise UnknownSchema(f"schema id {schema_id} is not Avro that can be used: {error}") from error
        schema = Schema.of(parsed["name"] if isinstance(parsed, dict) else str(parsed), parsed)
        self._schemas[schema_id] = schema
        return schema

    def _add_references(self, registered: RegistrySchema, named: dict[str, Any]) -> None:
        """Parse the types of other subjects that a schema names, and what those name, into `named`."""
        for reference in registered.references or ():
            if reference.name in named:
                continue
            assert reference.subject is not None
            assert reference.version is not None
            other = self._client.get_version(reference.subject, reference.version).schema
            self._add_references(other, named)
            parse_schema(json.loads(other.schema_str or ""), named)
