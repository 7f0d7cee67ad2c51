"""What a client accepts (RFC 9110 section 12): the best of what is to be had, by its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_WEIGHT = re.compile(r"(0(\.\d{0,3})?|1(\.0{0,3})?)", re.ASCII)


def best_media_type(accept: str, offered: Sequence[str]) -> str | None:
    """The media type with the highest weight; of equal ones the one named first, then the one offered first.

    None where none is acceptable. Of the ranges that fit, the most exact one says the weight.
    """
    ranges = list(_weighted(accept)) or [("*/*", 1.0)]

    def rank(media_type: str) -> tuple[float, int]:
        fitting = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        for wanted in fitting:
            for index, (name, weight) in enumerate(ranges):
                if name == wanted:
                    return weight, -index
        return 0.0, 0

    best = max(offered, key=rank)
    return best if rank(best)[0] > 0 else None


def best_coding(accept_encoding: str, offered: Sequence[str]) -> str | None:
    """The content coding with the highest weight, of equal ones the one offered first; None for none."""
    weights = dict(_weighted(accept_encoding))

    def weight(coding: str) -> float:
        return weights.get(coding, weights.get("*", 0.0))

    best = max(offered, key=weight)
    return best if weight(best) > 0 and weight(best) >= weights.get("identity", 0.0) else None


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key.strip() == "q":
                text = text.strip()
                weight = float(text) if _WEIGHT.fullmatch(text) else 0.0
        if name:
            yield name, weight
