"""Whether an expression can give true or false at all, as far as its form tells."""

from __future__ import annotations

from headrace.consumers.filter.bounds import CONVERSIONS
from headrace.consumers.filter.fields import path_at
from headrace.consumers.filter.tokens import CLOSING, OPENING, Tokens, bare, closing, is_operator, operators

_BOOLEAN = frozenset({"||", "&&", "==", "!=", "<", "<=", ">", ">=", "in"})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_NO_BOOLEAN_KINDS = frozenset({"string", "bytes", "double", "uint", "int", "null"})


def cannot_hold(tokens: Tokens) -> bool:
    """Whether the result is surely neither true nor false."""
    tokens = bare(tokens)
    found = operators(tokens)
    if "?" in found or found & _BOOLEAN or is_operator(tokens[0], "!"):
        return False
    if found & _ARITHMETIC:
        return True
    first, last = tokens[0], tokens[-1]
    if len(tokens) == 1 and first.kind in _NO_BOOLEAN_KINDS:
        return True
    if is_operator(first, *OPENING) and closing(tokens, 0) == len(tokens) - 1:
        return True  # a list or a map
    if is_operator(last, ")"):
        return _called(tokens) in CONVERSIONS - {"dyn"}
    # Attributes are texts, or a number; only what lies within the body can be a boolean.
    return first.kind == "name" and path_at(tokens, 0) == ((first.text,), len(tokens)) and first.text != "data"


def _called(tokens: Tokens) -> str:
    """The name of the function whose call ends the expression."""
    depth = 0
    for i in range(len(tokens) - 1, 0, -1):
        if is_operator(tokens[i], *CLOSING):
            depth += 1
        elif is_operator(tokens[i], *OPENING):
            depth -= 1
            if depth == 0:
                return tokens[i - 1].text
    return ""
