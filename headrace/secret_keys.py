"""The keys that encrypt secrets at rest: made, kept in a file, and read from the settings."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headrace.errors import Misconfigured
from headrace.settings import SecretsSettings

KEY_BYTES = 32
ENTRY = re.compile(r"([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)")
"""An id that may be shown, and the base64 of 32 bytes."""

VARIABLE = "HEADRACE_SECRET_KEYS"
FILE_VARIABLE = "HEADRACE_SECRET_KEYS_FILE"
HOW = f"`headrace secrets new-key` makes a key for {VARIABLE}, or for a file that {FILE_VARIABLE} names."


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key of 32 bytes, and the id by which what it has sealed names it."""

    id: str
    material: bytes = field(repr=False)


def new_secret_key() -> str:
    """A new key as the setting has it: `id:base64`."""
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def keep_secret_key(path: Path) -> bool:
    """Write a new key to a file that only its owner can read; a file that exists stays. Whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret-key-") as new:  # of mode 0600
        new.write(new_secret_key() + "\n")
        new.flush()
        os.fsync(new.fileno())
        # Linked when whole: nobody reads half a key, and of two who make one, one wins.
        with contextlib.suppress(FileExistsError):
            os.link(new.name, path)
            return True
    return False


def secret_keys(settings: SecretsSettings) -> tuple[SecretKey, ...]:
    """The keys of the settings, the first of which encrypts: those of the variable, then those of the file.

    Raises `Misconfigured`, which holds no key. None at all is refused where others can reach the service; on the
    loopback interface it is left to the vault, which then neither seals nor opens.
    """
    variable = settings.secret_keys.get_secret_value() if settings.secret_keys is not None else ""
    found = _parsed(variable, VARIABLE)
    if settings.secret_keys_file is not None:
        found += _from_file(settings.secret_keys_file)
    if len({key.id for key in found}) < len(found):
        raise Misconfigured(f"Two keys in {VARIABLE} and {FILE_VARIABLE} have the same id: give each its own.")
    if not found and not is_loopback(settings.host):
        raise Misconfigured(
            f"Secrets of subscriptions are encrypted before they are stored, and there is no key. Set {VARIABLE}, the "
            f"same for every gateway and relay. {HOW}"
        )
    return tuple(found)


def _from_file(path: Path) -> list[SecretKey]:
    try:
        found = _parsed(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misconfigured(f"{FILE_VARIABLE} names {path}, which cannot be read: {reason}.") from None
    if not found:
        raise Misconfigured(f"{FILE_VARIABLE} names {path}, which holds no key. {HOW}")
    return found


def _parsed(text: str, source: str) -> list[SecretKey]:
    return [_key(entry, number, source) for number, entry in enumerate(_entries(text), 1)]


def _entries(text: str) -> Sequence[str]:
    return [entry for entry in re.split(r"[,\s]+", text) if entry]


def _key(entry: str, number: int, source: str) -> SecretKey:
    match = ENTRY.fullmatch(entry)
    if match is None:
        # Not even a part of it is shown: what is in the wrong place may be the key.
        raise Misconfigured(f"Key {number} in {source} is not `id:base64 of {KEY_BYTES} bytes`. {HOW}")
    return SecretKey(match[1], base64.b64decode(match[2]))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
