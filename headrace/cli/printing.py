"""Pages of events on stdout."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.client import Page


def print_page(page: Page) -> None:
    """The events, one in each line; they have left this process when this returns."""
    sys.stdout.buffer.write(page.body)
    sys.stdout.buffer.flush()


def sync_stdout() -> None:
    """After a crash of the machine a file must not end before the position that was saved for it."""
    descriptor = sys.stdout.fileno()
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)
