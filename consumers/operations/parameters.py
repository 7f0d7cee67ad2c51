"""Parameters of routes about subscriptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from headrace.openapi.operation import Parameter

SUBSCRIPTION = Parameter(
    "id",
    "The subscription's name.",
    {"type": "string", "minLength": 1},
    "path",
    example="delay-workers",
)
IF_MATCH = Parameter("If-Match", "Change it only if this is still its `ETag`: else 412.", place="header", example="*")
UNKNOWN = "There is no such subscription."
UNAVAILABLE = "Kafka does not answer; ask again after `Retry-After`."
NO_OWNER = (
    "No relay runs the subscription at present, its feed is not there, or Kafka does not answer; ask again after "
    "`Retry-After`."
)
MALFORMED = "The request does not fit; `errors` has a JSON Pointer for each fault."
TOO_LARGE = "The body is larger than 1 MiB."


def of_query(model: type[BaseModel], examples: dict[str, Any] | None = None) -> list[Parameter]:
    """The parameters in the query that a model checks."""
    properties = model.model_json_schema()["properties"]
    return list(_of_properties(properties, examples or {}))


def _of_properties(properties: dict[str, dict[str, Any]], examples: dict[str, Any]) -> Iterable[Parameter]:
    for name, said in properties.items():
        schema = {key: value for key, value in said.items() if key not in ("title", "description")}
        # What may be left out is None in the model; in a query there is no null.
        if (kinds := schema.pop("anyOf", None)) is not None:
            schema = {**next(kind for kind in kinds if kind.get("type") != "null"), **schema}
        if schema.get("default", 0) is None:
            del schema["default"]
        yield Parameter(name, said.get("description", ""), schema, example=examples.get(name))
