"""A checkpoint: where a reader of a feed stands, kept in a file or wherever else."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the text says why and what to do."""


class CheckpointStore(Protocol):
    """Keeps one offset. Where what was dealt with is kept in a database, keep the offset there, in its transaction."""

    def load(self) -> str | None:
        """The offset to go on from; None where none was saved yet."""

    def save(self, offset: str) -> None:
        """Keep an offset in place of the one before."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position of one reader of one feed, kept in `path`.

    What was dealt with must lie where it is safe before the position after it is saved: then a crash repeats at most
    the last page, and loses nothing.
    """

    path: Path
    feed: str

    def load(self) -> str | None:
        """The offset to go on from; None where none was saved yet.

        Raises `CheckpointError` where the file is of another feed or no checkpoint at all.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            if not self.path.parent.is_dir():
                raise CheckpointError(f"{self.path}: there is no directory {self.path.parent}; make it.") from None
            return None
        except OSError as error:
            raise CheckpointError(f"{self.path}: {error.strerror}.") from None
        try:
            saved = orjson.loads(content)
            feed, offset = saved["feed"], saved["offset"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise CheckpointError(f"{self.path} is not a checkpoint; name another file.") from None
        if feed != self.feed:
            raise CheckpointError(f"{self.path} is a checkpoint of the feed {feed}; name another file for {self.feed}.")
        return str(offset)

    def save(self, offset: str) -> None:
        """Keep an offset: after a crash the file holds this or the one before, whole. Raises `CheckpointError`."""
        content = orjson.dumps({"feed": self.feed, "offset": offset}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._replace(content)
        except OSError as error:
            raise CheckpointError(f"{self.path} could not be written: {error.strerror}.") from None

    def _replace(self, content: bytes) -> None:
        directory = self.path.parent
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
