"""The keys that hold now: those of `headrace.keys`, followed, and the one that the settings bring."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from headrace.access.api_key import KEYS, ApiKey, digest, split
from headrace.access.credential import Credential, Denied
from headrace.access.quotas import Quotas
from headrace.access.scopes import parse_scopes
from headrace.errors import Misconfigured
from headrace.kafka.table import Table
from headrace.kafka.topics import ensure_topics
from headrace.settings import AccessSettings

VARIABLE = "HEADRACE_ADMIN_KEY"
UNKNOWN = "The key is not known here: it was revoked, or never made."


class KeyTable:
    """Verifies keys. `on_end` is told the id of a key that no longer holds as it did: revoked, or changed."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        *,
        admin_key: ApiKey | None,
        quotas: Quotas,
        on_end: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._admin = admin
        self._admin_key = admin_key
        self._quotas = quotas
        self._on_end = on_end
        self._clock = clock
        self._table = Table(kafka, admin, KEYS.name, ApiKey.from_bytes, self._changed)
        self._credentials: dict[str, Credential] = {}

    async def load(self, replication_factor: int) -> None:
        """Read all; raises `KafkaUnavailable`."""
        await ensure_topics(self._admin, [KEYS], replication_factor=replication_factor)
        await self._table.load()

    def verify(self, text: str) -> Credential:
        """The credential of a key; raises `Denied`."""
        parts = split(text)
        if parts is None:
            raise Denied("This has not the form of a key, hr_<id>_<secret>: it may have been cut.")
        key_id, secret = parts
        key = self._key(key_id)
        if key is None or not key.opens_with(secret):
            raise Denied(UNKNOWN)
        if key.expires_s is not None and key.expires_s <= self._clock():
            raise Denied("The key has expired.")
        return self._credential(key)

    def quotas_of(self, key_id: str) -> Quotas:
        """The quotas of a key that a token was made with; raises `Denied` where it was revoked since."""
        key = self._key(key_id)
        if key is None:
            raise Denied("The token was made with a key that has been revoked.")
        return self._credential(key).quotas

    def _key(self, key_id: str) -> ApiKey | None:
        if self._admin_key is not None and self._admin_key.id == key_id:
            return self._admin_key
        return self._table.get(key_id)

    def _credential(self, key: ApiKey) -> Credential:
        found = self._credentials.get(key.id)
        if found is None:
            quotas = key.quotas.over(self._quotas) if key is not self._admin_key else key.quotas
            found = Credential(f"key:{key.id}", key.scopes, key.id, key.expires_s, quotas)
            self._credentials[key.id] = found
        return found

    def _changed(self, key_id: str, key: ApiKey | None) -> None:
        self._credentials.pop(key_id, None)
        self._on_end(key_id)

    def __len__(self) -> int:
        return len(self._table) + (self._admin_key is not None)

    async def close(self) -> None:
        """Stop following."""
        await self._table.close()


def admin_key(settings: AccessSettings) -> ApiKey | None:
    """The key of the settings, which may do everything; raises `Misconfigured`, which holds nothing of it."""
    if settings.admin_key is None:
        return None
    parts = split(settings.admin_key.get_secret_value())
    if parts is None:
        raise Misconfigured(f"{VARIABLE} is not a key, hr_<id>_<secret>. `headrace keys generate` makes one.")
    return ApiKey(parts[0], digest(parts[1]), "HEADRACE_ADMIN_KEY", parse_scopes(["admin:*"]), created_s=0.0)
