"""A filter as it stands in a request: a text that is checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from headrace.consumers.filter.expression import Filter


def _checked(text: str) -> str:
    Filter.parse(text)
    return text


FilterText = Annotated[str, AfterValidator(_checked)]
