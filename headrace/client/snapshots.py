"""Snapshots: positions of a subscription that have a name, to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from headrace.client.exchange import Answer, Exchange, Request
from headrace.client.problems import SubscriptionNotFound


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a subscription was at a time, RFC 3339: no copy, so it keeps nothing from retention."""

    name: str
    offset: str
    at: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Snapshot:
        """The snapshot in an answer."""
        return cls(raw["name"], raw["offset"], raw["at"])


class Snapshots:
    """The snapshots of one subscription, whatever its mode; `Subscriptions.snapshots`.

    All raise `SubscriptionNotFound`, also where there is no snapshot of the name, and `Unavailable`. To go back to one:
    `Subscriptions.seek(id, snapshot=name)`.
    """

    def __init__(self, exchange: Exchange, subscription_path: str) -> None:
        self._exchange = exchange
        self._path = f"{subscription_path}/snapshots"

    async def list(self) -> list[Snapshot]:
        """All of them, by name."""
        return [Snapshot.of(raw) for raw in orjson.loads((await self._ask("GET")).body)["snapshots"]]

    async def get(self, name: str) -> Snapshot:
        """One of them."""
        return Snapshot.of(orjson.loads((await self._ask("GET", name)).body))

    async def save(self, name: str) -> Snapshot:
        """Give a name to where the subscription is now; one of that name is there no more.

        Raises `BadRequest` for a name that cannot be one, `Conflict` for too many.
        """
        return Snapshot.of(orjson.loads((await self._ask("PUT", name)).body))

    async def delete(self, name: str) -> None:
        """Forget one."""
        await self._ask("DELETE", name)

    async def _ask(self, method: str, name: str | None = None) -> Answer:
        path = self._path if name is None else f"{self._path}/{quote(name, safe='')}"
        return await self._exchange.ask(Request(method, path, not_found=SubscriptionNotFound))
