"""What a JSON merge patch (RFC 7396) of a model may hold, as a model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model


def merge_patch(name: str, model: type[BaseModel]) -> type[BaseModel]:
    """A model with the same members, each of which may be left out, or null for its default."""
    members: dict[str, Any] = {}
    for member, field in model.model_fields.items():
        annotation: Any = field.annotation
        for constraint in field.metadata:
            annotation = Annotated[annotation, constraint]
        members[member] = (annotation | None, Field(None, description=field.description))
    config = ConfigDict(extra="forbid")
    return create_model(name, __config__=config, __doc__="What is to change; null stands for the default.", **members)
