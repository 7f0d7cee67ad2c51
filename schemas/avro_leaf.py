"""Avro's types that hold no others: what JSON value each takes, and the value that the Avro writer gets for it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND_US = 1000
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_INT = (-(2**31), 2**31 - 1)
_LONG = (-(2**63), 2**63 - 1)
_FLOAT_LIMIT = (2 - 2**-24) * 2.0**127
"""From here on a 32-bit float would be rounded to infinity, which JSON cannot say."""
_EXACT_DIGITS = 15
"""Decimal digits that survive in a double."""

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Python reads six digits of a second and drops the rest.
_LONGEST = len("23:59:59.123456")
_BELOW_MICROSECONDS = re.compile(r"[.,][0-9]{6}[0-9]*[1-9]")


class Unconvertible(ValueError):
    """A JSON value that does not fit the Avro type; the message says what was expected."""


def leaf(schema: Any) -> Convert | None:
    """A function from a JSON value to what fastavro writes, for types that hold no others; None for the rest.

    The function is strict, where fastavro's writer would take True for 1, 1.5 for 1 and any value for a boolean. It
    raises `Unconvertible`.
    """
    kind = schema if isinstance(schema, str) else schema["type"]
    if not isinstance(kind, str):
        return None
    if not isinstance(schema, str):
        if (logical := _logical(kind, schema)) is not None:
            return logical
        if kind == "fixed":
            return _fixed(schema["size"])
        if kind == "enum":
            return _enum(schema["symbols"])
    return _PRIMITIVES.get(kind)


def _logical(kind: str, schema: dict[str, Any]) -> Convert | None:
    name = schema.get("logicalType")
    if name == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(schema["precision"], schema.get("scale", 0))
    return _LOGICAL.get((kind, name or ""))


def expected(what: str, value: Any) -> Unconvertible:
    """The error for a value of another JSON type."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    got = names.get(type(value), "a number")
    if got == "a number" and what in ("int", "long"):
        got = "a number out of range" if isinstance(value, int) else "a number with a fraction"
    return Unconvertible(f"expected {what}, got {got}")


# Primitive types


def _null(value: Any) -> None:
    if value is not None:
        raise expected("null", value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise expected("boolean", value)
    return value


def _integer(name: str, low: int, high: int) -> Convert:
    def convert(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise expected(name, value)
        return value

    return convert


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise expected("double", value)
    return float(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise expected("float", value)
    if abs(value) >= _FLOAT_LIMIT:
        raise Unconvertible("expected float, got a number out of range")
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise expected("string", value)
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise expected("base64 text", value)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise Unconvertible("not base64") from error


def _fixed(size: int) -> Convert:
    def convert(value: Any) -> bytes:
        content = _bytes(value)
        if len(content) != size:
            raise Unconvertible(f"expected {size} bytes in base64, got {len(content)}")
        return content

    return convert


def _enum(symbols: list[str]) -> Convert:
    known = frozenset(symbols)

    def convert(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise Unconvertible(f"expected one of {', '.join(symbols)}")
        return value

    return convert


_PRIMITIVES: dict[str, Convert] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer("int", *_INT),
    "long": _integer("long", *_LONG),
    "float": _float,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
}

# Logical types


def _decimal(precision: int, scale: int) -> Convert:
    def convert(value: Any) -> Decimal:
        number = Decimal(_decimal_text(value))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if -exponent > scale:
            raise Unconvertible(f"has more than {scale} digits after the point (decimal)")
        if number and number.adjusted() + 1 + scale > precision:
            raise Unconvertible(f"has more than {precision - scale} digits before the point (decimal)")
        return number

    return convert


def _decimal_text(value: Any) -> str:
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) is None:
            raise Unconvertible("not a decimal")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise expected("a decimal as text", value)
    text = repr(value)
    if isinstance(value, float) and (abs(value) >= 2**53 or len(Decimal(text).as_tuple().digits) > _EXACT_DIGITS):
        raise Unconvertible("a number of this many digits is rounded in JSON: give the decimal as text")
    return text


def _timestamp(unit: timedelta, *, local: bool = False) -> Convert:
    epoch = _EPOCH.replace(tzinfo=None) if local else _EPOCH
    finest_us = unit // _MICROSECOND

    def convert(value: Any) -> datetime:
        try:
            if type(value) is int:
                return epoch + value * unit
            if not isinstance(value, str):
                raise expected("a time as RFC 3339 text", value)
            moment = _moment(value, local=local)
            # In UTC it may be of another year.
            moment = epoch + (moment - epoch)
        except OverflowError as error:
            raise Unconvertible("is not in the years 1 to 9999") from error
        _refuse_finer(moment.microsecond, finest_us, value)
        return moment

    return convert


def _refuse_finer(microsecond: int, finest_us: int, text: str) -> None:
    if microsecond % finest_us or (len(text) > _LONGEST and _BELOW_MICROSECONDS.search(text)):
        raise Unconvertible(f"is finer than {'a millisecond' if finest_us == MILLISECOND_US else 'a microsecond'}")


def _moment(text: str, *, local: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unconvertible("not an RFC 3339 time") from error
    if local and moment.tzinfo is not None:
        raise Unconvertible("a local time has no offset from UTC")
    if not local and moment.tzinfo is None:
        raise Unconvertible("a time needs its offset from UTC, such as Z")
    return moment


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Unconvertible("not a date such as 2013-01-31") from error


def _time(finest_us: int) -> Convert:
    def convert(value: Any) -> time:
        try:
            moment = time.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise Unconvertible("not a time such as 05:15:00") from error
        if moment.tzinfo is not None:
            raise Unconvertible("a time of day has no offset from UTC")
        _refuse_finer(moment.microsecond, finest_us, value)
        return moment

    return convert


def _uuid(value: Any) -> str:
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise Unconvertible("not a UUID such as 01234567-89ab-7def-8123-456789abcdef")
    return value


_LOGICAL: dict[tuple[str, str], Convert] = {
    ("long", "timestamp-millis"): _timestamp(_MILLISECOND),
    ("long", "timestamp-micros"): _timestamp(_MICROSECOND),
    ("long", "local-timestamp-millis"): _timestamp(_MILLISECOND, local=True),
    ("long", "local-timestamp-micros"): _timestamp(_MICROSECOND, local=True),
    ("int", "date"): _date,
    ("int", "time-millis"): _time(MILLISECOND_US),
    ("long", "time-micros"): _time(1),
    ("string", "uuid"): _uuid,
}
