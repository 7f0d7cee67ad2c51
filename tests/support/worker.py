"""A worker that leases events from a pull subscription, as a client does it over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api


@dataclass
class Worker:
    """Leases from one subscription."""

    api: Api
    name: str

    async def lease(self, max_events: int = 10, wait_s: float = 0.0, **members: Any) -> list[dict[str, Any]]:
        """What one call leases."""
        body = await self.call("lease", max_events=max_events, wait_s=wait_s, **members)
        events: list[dict[str, Any]] = body["events"]
        return events

    async def call(self, verb: str, **members: Any) -> dict[str, Any]:
        code, body = await self.api.call("POST", f"/{self.name}/{verb}", **members)
        assert code == 200, body
        told: dict[str, Any] = body
        return told

    async def ack(self, *deliveries: dict[str, Any]) -> dict[str, str]:
        """The ack ids that were refused, with the reason."""
        return await self._say("ack", "acked", deliveries)

    async def nack(self, *deliveries: dict[str, Any], delay_s: float = 0.0) -> dict[str, str]:
        return await self._say("nack", "nacked", deliveries, delay_s=delay_s)

    async def extend(self, *deliveries: dict[str, Any], lease_s: float) -> dict[str, str]:
        return await self._say("extend", "extended", deliveries, lease_s=lease_s)

    async def _say(self, verb: str, counted: str, deliveries: Any, **members: Any) -> dict[str, str]:
        told = await self.call(verb, ack_ids=[d["ack_id"] for d in deliveries], **members)
        refused: dict[str, str] = told["refused"]
        assert told[counted] == len(deliveries) - len(refused)
        return refused


def ids(deliveries: list[dict[str, Any]]) -> list[str]:
    return [delivery["event"]["id"] for delivery in deliveries]


async def pulled(api: Api, feed: str, **members: Any) -> Worker:
    """A worker of a new pull subscription that runs."""
    code, created = await api.call("POST", feed=feed, mode="pull", **{"offset": "-1", **members})
    assert code == 201, created
    await until(lambda: api.owner(created["id"]))
    return Worker(api, created["id"])


async def events_of(api: Api, name: str, **query: Any) -> tuple[list[str], str]:
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    async with api.session.get(f"{api.url}/v1/subscriptions/{name}/events?{asked}") as answer:
        assert answer.status == 200, await answer.text()
        return [event["id"] for event in orjson.loads(await answer.read())], answer.headers["Stream-Next-Offset"]


async def waits_for(api: Api, name: str) -> str:
    """What a subscription stands still for; nothing where it runs, or no relay has it."""
    shown = await api.show(name)
    return str(shown.get("waits_for", "")) if shown["status"] is None else ""
