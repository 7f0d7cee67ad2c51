"""Errors that a user can mend."""

from __future__ import annotations


class Misconfigured(Exception):
    """Something that is set or defined can't be used. The text says what and how to change it: no traceback needed."""
