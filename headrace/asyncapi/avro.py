"""Avro schemas with names as AsyncAPI takes them: without dots, beside their namespaces."""

from __future__ import annotations

from typing import Any

NAMED = ("record", "enum", "fixed", "error")


def with_namespaces(schema: Any) -> Any:
    """The same schema, in which the full name of each type stands as `namespace` and `name`."""
    if isinstance(schema, list):
        return [with_namespaces(option) for option in schema]
    if not isinstance(schema, dict):
        return schema
    said = dict(schema)
    for part in ("items", "values", "type"):
        if part in said:
            said[part] = with_namespaces(said[part])
    if "fields" in said:
        said["fields"] = [{**field, "type": with_namespaces(field["type"])} for field in said["fields"]]
    if said.get("type") in NAMED:
        said["namespace"], _, said["name"] = said["name"].rpartition(".")
    return said
