"""Directories of feeds and schemas for tests."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from headrace.schemas.catalogue import BUILT_IN
from headrace.schemas.release import release_all


def write_feed(directory: Path, name: str = "", **definition: Any) -> str:
    """Write a feed's definition; gives its name, a fresh one by default."""
    name = name or f"feed-{uuid.uuid4().hex[:10]}"
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"description": "A test.", **definition}.items()]
    path = directory / "feeds" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), "utf-8")
    return name


def write_schema(directory: Path, name: str, fields: list[dict[str, Any]]) -> None:
    """Write the current version of a record type."""
    path = directory / "avro" / f"{name}.avsc"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "record", "name": name, "fields": fields}), "utf-8")


def release(directory: Path) -> None:
    """Release what was changed, as `headrace schemas release` does."""
    release_all(directory, [BUILT_IN])
