"""What a subscription is: its definition, as it lies in the compacted topic `headrace.subscriptions`."""

from __future__ import annotations

import secrets
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import orjson

from headrace.consumers.relay.options import Options
from headrace.kafka.topics import COMPACTED, TopicSpec
from headrace.schemas.event import now

State = Literal["active", "paused", "disabled"]
Mode = Literal["webhook", "pull"]

POSITION_PARTITIONS = 24
SUBSCRIPTIONS = TopicSpec("headrace.subscriptions", 1, COMPACTED)
POSITIONS = TopicSpec("headrace.positions", POSITION_PARTITIONS, COMPACTED)
OWNERS = TopicSpec("headrace.owners", 1, COMPACTED)
TOPICS = (SUBSCRIPTIONS, POSITIONS, OWNERS)

DEFAULT_OPTIONS = Options()
NO_CREDENTIALS: Mapping[str, Any] = {}

_NOT_SHOWN = ("sealed_keys", "sealed_credentials", "options", "outline")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable reader with a name. `start` is an offset token: where it begins unless it was moved since.

    `url` is None, and `sealed_keys` empty, only with `mode` `pull`. `sealed_keys` and `sealed_credentials` are
    encrypted; `outline` is what may be shown of the credentials. `version` counts its changes. `reason` says why it is
    disabled. `granted_per_min` is what its endpoint allowed when asked.
    """

    id: str
    feed: str
    url: str | None
    sealed_keys: str = field(repr=False)
    start: str
    created: str
    updated: str
    sealed_credentials: str = field(default="", repr=False)
    version: int = 1
    mode: Mode = "webhook"
    state: State = "active"
    reason: str = ""
    options: Options = field(default_factory=Options)
    outline: Mapping[str, Any] = field(default_factory=lambda: NO_CREDENTIALS)
    granted_per_min: int | None = None

    def to_bytes(self) -> bytes:
        """The record's value."""
        members = {f.name: getattr(self, f.name) for f in fields(self)}
        return orjson.dumps({**members, "options": self.options.model_dump(mode="json", exclude_defaults=True)})

    @classmethod
    def from_bytes(cls, value: bytes) -> Subscription:
        """A definition from a record; raises ValueError. Fields of a newer version are left out."""
        try:
            members = orjson.loads(value)
            options = members.get("options", {})
            known = {name: value for name, value in options.items() if name in Options.model_fields}
            # Of many subscriptions most have much in common: it is there once.
            members["options"] = Options.model_validate(known) if known else DEFAULT_OPTIONS
            members["outline"] = members.get("outline") or NO_CREDENTIALS
            for name in ("feed", "mode", "state", "start"):
                if name in members:
                    members[name] = sys.intern(members[name])
            return cls(**{f.name: members[f.name] for f in fields(cls) if f.name in members})
        except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
            raise ValueError(f"not a subscription: {error}") from error

    @property
    def state_key(self) -> str:
        """What the keys of its state begin with: one made again under the name of another goes on from nothing."""
        return f"{self.id}\0{self.created}"

    @property
    def etag(self) -> str:
        """The HTTP entity tag of this version."""
        return etag(self.created, self.version)

    def changed(self, **members: Any) -> Subscription:
        """The next version of it."""
        return replace(self, **members, version=self.version + 1, updated=now())

    def public(self) -> dict[str, Any]:
        """The definition as shown: without what is sealed."""
        members = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NOT_SHOWN}
        return {**members, **self.options.model_dump(mode="json"), **self.outline}


def etag(created: str, version: int) -> str:
    """The HTTP entity tag of a version of the definition that was created then."""
    return f'"{created}.{version}"'


def new_subscription_id() -> str:
    """A name for a subscription that was not given one."""
    return f"sub_{secrets.token_hex(10)}"


def position_partition(subscription_id: str) -> int:
    """The partition of `headrace.positions` that holds a subscription: who owns it owns the subscription."""
    return zlib.crc32(subscription_id.encode()) % POSITION_PARTITIONS
