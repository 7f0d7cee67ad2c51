"""API keys: `hr_<id>_<secret>`. At rest, in the compacted topic `headrace.keys`, there is only the secret's SHA-256.

A secret is 256 random bits, so that a plain hash is enough: there is nothing to guess, and nothing to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace.access.quotas import Quotas
from headrace.access.scopes import Scope, parse_scopes
from headrace.kafka.topics import TopicSpec

KEYS = TopicSpec(
    "headrace.keys",
    1,
    {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "max.compaction.lag.ms": "3600000"},
)
SECRET_BYTES = 32
ID_CHARACTERS = 12
FORMAT = re.compile(r"hr_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
ALPHABET = string.ascii_lowercase + string.digits


def new_key_text() -> str:
    """A new key, as its holder keeps it."""
    key_id = "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS))
    return f"hr_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def split(text: str) -> tuple[str, str] | None:
    """Id and secret of a key, or None for what has not the form of one."""
    match = FORMAT.fullmatch(text)
    return (match[1], match[2]) if match is not None else None


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it lies in Kafka. Times are seconds since 1970; `expires_s` None is never."""

    id: str
    sha256: str = field(repr=False)
    name: str
    scopes: tuple[Scope, ...]
    created_s: float
    created_by: str = ""
    expires_s: float | None = None
    quotas: Quotas = field(default_factory=Quotas)

    def opens_with(self, secret: str) -> bool:
        """Whether this is its secret; in constant time."""
        return hmac.compare_digest(self.sha256, digest(secret))

    def to_bytes(self) -> bytes:
        """The record's value."""
        members: dict[str, Any] = {
            "id": self.id,
            "sha256": self.sha256,
            "name": self.name,
            "scopes": [str(scope) for scope in self.scopes],
            "quotas": self.quotas.public(),
            "created_s": self.created_s,
            "created_by": self.created_by,
            "expires_s": self.expires_s,
        }
        return orjson.dumps(members)

    @classmethod
    def from_bytes(cls, value: bytes) -> ApiKey:
        """The key of a record's value; raises for what is none."""
        members = orjson.loads(value)
        members["scopes"] = parse_scopes(members["scopes"])
        members["quotas"] = Quotas(**members["quotas"])
        return cls(**members)
