"""The model of a merge patch."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from headrace.consumers.operations.merge_patch import merge_patch


class Thing(BaseModel):
    count: int = Field(1, ge=1, le=5, description="How many.")
    names: Annotated[list[str], Field(max_length=2)]


PATCH = merge_patch("ThingPatch", Thing)


@pytest.mark.parametrize("patch", [{}, {"count": None}, {"count": 5, "names": ["a"]}, {"names": None}])
def test_every_member_may_be_left_out_or_null(patch: object) -> None:
    PATCH.model_validate(patch)


@pytest.mark.parametrize("patch", [{"count": 6}, {"names": ["a", "b", "c"]}, {"other": 1}])
def test_what_is_given_is_within_the_same_bounds(patch: object) -> None:
    with pytest.raises(ValidationError):
        PATCH.model_validate(patch)


def test_descriptions_are_kept() -> None:
    assert PATCH.model_json_schema()["properties"]["count"]["description"] == "How many."
