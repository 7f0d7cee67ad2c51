"""The text of a CEL expression as tokens, for what the library does not tell: it has no syntax tree to look at.

The lexical rules are those of the CEL specification ("Syntax"); which token sequences are an expression is left to the
library, which has parsed the text before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import cel

OPENING = {"(": ")", "[": "]", "{": "}"}
CLOSING = frozenset(OPENING.values())

_ESCAPE = r"\\(?:[abfnrtv\\?\"'`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_TOKEN = re.compile(
    rf"""
    (?P<blank>(?:[ \t\r\n\f]|//[^\n]*)+)
  | (?P<bytes>[bB](?=[rR]?["']))?
    (?P<string>
        [rR](?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\r\n]*"|'[^'\r\n]*')
      | \"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"
      | '''(?:{_ESCAPE}|[^\\])*?'''
      | "(?:{_ESCAPE}|[^\\"\r\n])*"
      | '(?:{_ESCAPE}|[^\\'\r\n])*'
    )
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<operator>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL,
)
_CONSTANTS = {"true": "bool", "false": "bool", "null": "null", "in": "operator"}


class InvalidFilter(ValueError):
    """A filter that cannot be used; the message says what is wrong and where."""

    @classmethod
    def at(cls, text: str, offset: int, reason: str) -> InvalidFilter:
        """The error for a place in the text."""
        line_start = text.rfind("\n", 0, offset) + 1
        return cls(f"line {text.count(chr(10), 0, offset) + 1}, column {offset - line_start + 1}: {reason}")


class Token(NamedTuple):
    """`kind` is one of string, bytes, name, double, uint, int, bool, null, operator; `start` its offset in the text."""

    kind: str
    text: str
    start: int


Tokens = Sequence[Token]


def tokenize(text: str) -> list[Token]:
    """The tokens without blanks and comments; raises `InvalidFilter`."""
    tokens, offset = [], 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise InvalidFilter.at(text, offset, f"unexpected {text[offset]!r}")
        kind, word = match.lastgroup or "", match.group()
        if match["bytes"]:
            kind = "bytes"
        elif kind == "name":
            kind = _CONSTANTS.get(word, "name")
        if kind != "blank":
            tokens.append(Token(kind, word, offset))
        offset = match.end()
    return tokens


def is_operator(token: Token, *texts: str) -> bool:
    """Whether a token is one of these operators, not a text that looks like one."""
    return token.kind == "operator" and token.text in texts


def closing(tokens: Tokens, start: int) -> int:
    """The index of the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(tokens)):
        if is_operator(tokens[i], *OPENING):
            depth += 1
        elif is_operator(tokens[i], *CLOSING):
            depth -= 1
            if depth == 0:
                return i
    raise ValueError("a bracket is not closed")


def bare(tokens: Tokens) -> Tokens:
    """An expression without the parentheses around all of it."""
    while tokens and is_operator(tokens[0], "(") and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def split(tokens: Tokens, operator: str) -> list[Tokens]:
    """The parts between those operators that stand in no brackets; one part where there are none."""
    parts, start, i = [], 0, 0
    while i < len(tokens):
        if is_operator(tokens[i], *OPENING):
            i = closing(tokens, i)
        elif is_operator(tokens[i], operator):
            parts.append(tokens[start:i])
            start = i + 1
        i += 1
    return [*parts, tokens[start:]]


def operators(tokens: Tokens) -> set[str]:
    """The operators that stand in no brackets."""
    found, i = set(), 0
    while i < len(tokens):
        if is_operator(tokens[i], *OPENING):
            i = closing(tokens, i)
        elif tokens[i].kind == "operator":
            found.add(tokens[i].text)
        i += 1
    return found


def literal(tokens: Tokens) -> Any:
    """What a literal means, as the library understands it."""
    return cel.compile("".join(token.text for token in tokens)).execute()
