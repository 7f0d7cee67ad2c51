"""The versions that the batch transport was made for and tested with."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from headrace.errors import Misconfigured

TESTED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}


class UntestedVersion(Misconfigured):
    """A library is another version than the one whose private methods are overridden here."""


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Raises `UntestedVersion` with what to install."""
    for name, tested in TESTED.items():
        found = installed(name)
        if found != tested:
            raise UntestedVersion(
                f"{name} {found} is installed, and Headrace's batch transport works with {tested} alone: "
                f"pip install '{name}=={tested}'"
            )
