"""Where one schema cannot read what another wrote: field by field, with the reason.

Apache's checker knows the rules, but of several faults it tells neither which belongs to which field nor all of them.
So it is asked about the smallest parts, and about logical types, which it passes over, it is not asked at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType, lookup_writer_field
from avro.schema import parse

from headrace.schemas.ids import Schema

Seen = set[tuple[int, int]]


def differences(reader: Schema, writer: Schema) -> list[str]:
    """`field: reason` for all that `reader` cannot read of what `writer` wrote; empty when it can read everything."""
    old, new = (parse(json.dumps(schema.definition())) for schema in (reader, writer))
    return list(_compare(old, new, [], set()))


def _compare(reader: Any, writer: Any, at: list[str], seen: Seen) -> Iterator[str]:
    if (id(reader), id(writer)) in seen:
        return
    seen.add((id(reader), id(writer)))
    kinds = (reader.type, writer.type)
    if kinds == ("record", "record"):
        yield from _records(reader, writer, at, seen)
    elif kinds == ("array", "array"):
        yield from _compare(reader.items, writer.items, [*at, "items"], seen)
    elif kinds == ("map", "map"):
        yield from _compare(reader.values, writer.values, [*at, "values"], seen)
    elif "union" in kinds:
        yield from _unions(reader, writer, at, seen)
    elif (reason := _apart(reader, writer)) is not None:
        yield f"{'.'.join(at) or reader.name}: {reason}"


def _records(reader: Any, writer: Any, at: list[str], seen: Seen) -> Iterator[str]:
    if reader.name != writer.name and writer.fullname not in reader.props.get("aliases", ()):
        yield f"{'.'.join(at) or reader.fullname}: the names differ ({writer.fullname})"
        return
    for field in reader.fields:
        place = [*at, field.name]
        written = lookup_writer_field(writer, field)
        if written is not None:
            yield from _compare(field.type, written.type, place, seen)
        elif not field.has_default:
            yield f"{'.'.join(place)}: the reader needs it, the writer has none, and there is no default"


def _unions(reader: Any, writer: Any, at: list[str], seen: Seen) -> Iterator[str]:
    """Every branch of the writer needs one of the reader's; among the records, the one of its name."""
    readers = reader.schemas if reader.type == "union" else [reader]
    for branch in writer.schemas if writer.type == "union" else [writer]:
        named = [r for r in readers if r.type == branch.type and getattr(r, "name", "") == getattr(branch, "name", "")]
        if named or len(readers) == 1:
            yield from _compare(named[0] if named else readers[0], branch, at, seen)
        elif all(_apart(r, branch) is not None for r in readers):
            yield f"{'.'.join(at) or branch.type}: the reader lacks a branch that the writer has ({_called(branch)})"


def _apart(reader: Any, writer: Any) -> str | None:
    """Why the reader does not fit the writer, in words; None when it does."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.compatible:
        kind = result.incompatibilities[0].name
        words = {
            "missing_enum_symbols": "the reader lacks symbols that the writer has",
            "type_mismatch": "the types do not fit",
            "name_mismatch": "the names differ",
            "fixed_size_mismatch": "the sizes differ",
        }
        return f"{words.get(kind, kind.replace('_', ' '))} ({', '.join(sorted(result.messages))})"
    if (old := _meaning(reader)) != (new := _meaning(writer)):
        return f"the logical types differ (reader: {old}, writer: {new})"
    return None


def _meaning(schema: Any) -> str:
    props = schema.props
    name = str(props.get("logicalType", "none"))
    return f"decimal({props.get('precision')}, {props.get('scale', 0)})" if name == "decimal" else name


def _called(schema: Any) -> str:
    return str(getattr(schema, "fullname", schema.type))
