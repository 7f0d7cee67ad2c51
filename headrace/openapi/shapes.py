"""JSON Schemas of the code's types, which refer to each other within one document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from headrace.openapi.operation import JsonSchema, Shape

Use = Literal["validation", "serialization"]
"""What a type stands for: what is taken, or what is answered."""
REFERENCE = "#/components/schemas/{model}"


class Shapes:
    """The schemas of types: each under its use, and those that several share as components."""

    def __init__(self, wanted: Iterable[tuple[Shape, Use]]) -> None:
        adapters = {(str(shape), use): (shape, use) for shape, use in wanted if not isinstance(shape, Mapping)}
        found, definitions = TypeAdapter.json_schemas(
            [(key, use, TypeAdapter(shape)) for key, (shape, use) in adapters.items()],
            ref_template=REFERENCE,
            schema_generator=_WithoutTitles,
        )
        self._found = {key: schema for (key, _), schema in found.items()}
        components = sorted(definitions.get("$defs", {}).items())
        self.components: dict[str, Any] = {name: _without_title(schema) for name, schema in components}

    def of(self, shape: Shape, use: Use) -> JsonSchema:
        """The schema of a type, most often a reference to a component; a schema is itself."""
        return shape if isinstance(shape, Mapping) else self._found[str(shape), use]


def _without_title(schema: dict[str, Any]) -> dict[str, Any]:
    """A component is called by its name in the document."""
    return {key: value for key, value in schema.items() if key != "title"}


class _WithoutTitles(GenerateJsonSchema):
    """A title for each member would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
