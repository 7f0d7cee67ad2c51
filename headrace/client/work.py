"""Working off a pull subscription: events are leased, handled, and acknowledged; several workers share them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from headrace.client.event import Event
from headrace.client.exchange import ANSWER_S, Exchange, Request
from headrace.client.page import Page
from headrace.client.problems import SubscriptionNotFound
from headrace.client.subscription_pages import WAIT_S, read_on

log = logging.getLogger("headrace.client")

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 300.0


class Retry(Exception):
    """Raised by a handler: the event is to come again after `delay_s`.

    None is 1 s, and then twice as long each time, to 5 min. A `reason` is logged.
    """

    def __init__(self, delay_s: float | None = None, *, reason: str = "") -> None:
        super().__init__(reason or "the event is to come again")
        self.delay_s = delay_s
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that was leased. `number` counts its deliveries from 1; `ack_id` is good for this one."""

    event: Event
    ack_id: str
    number: int


Handler = Callable[[Event], Awaitable[None]]


class PullSubscription:
    """One pull subscription; `Client.subscription`. All raise `SubscriptionNotFound`, `Conflict`, `Unavailable`."""

    def __init__(self, exchange: Exchange, subscription_id: str) -> None:
        self._exchange = exchange
        self._path = f"/v1/subscriptions/{quote(subscription_id, safe='')}"

    def read(
        self,
        *,
        follow: bool = False,
        page_events: int | None = None,
        max_events: int | None = None,
        patience_s: float | None = None,
    ) -> AsyncIterator[Page]:
        """Page after page of what is not done, for one reader; with `follow` on and on, as soon as there is an event.

        When the next page is asked for, the one before is acknowledged with all that lies before it: a reader that ends
        in the middle gets its last page again. `page_events` bounds a page, `max_events` all of them together.
        `patience_s` is how long the gateway may be away, without end by default where following.
        """
        return read_on(
            self._exchange,
            self._path,
            follow=follow,
            page_events=page_events,
            max_events=max_events,
            patience_s=patience_s,
        )

    async def lease(
        self,
        max_events: int = 1,
        *,
        wait_s: float = 0.0,
        lease_s: float | None = None,
        patience_s: float | None = None,
    ) -> list[Delivery]:
        """Events for one worker, as soon as there is one, or none after `wait_s` (to 20 s)."""
        wanted = {"max_events": max_events, "wait_s": wait_s, **_lease(lease_s)}
        told = await self._ask("lease", wanted, silence_s=wait_s + ANSWER_S, patience_s=patience_s)
        return [Delivery(Event(one["event"]), one["ack_id"], one["delivery"]) for one in told["events"]]

    async def ack(self, deliveries: Iterable[Delivery], *, patience_s: float | None = None) -> dict[str, str]:
        """They are done. Gives the reason for each ack id that was refused: `expired`, `moved`, `unknown`."""
        return await self._say("ack", deliveries, {}, patience_s)

    async def nack(
        self, deliveries: Iterable[Delivery], *, delay_s: float = 0.0, patience_s: float | None = None
    ) -> dict[str, str]:
        """They are to come again after a delay. Gives what `ack` does."""
        return await self._say("nack", deliveries, {"delay_s": delay_s}, patience_s)

    async def extend(
        self, deliveries: Iterable[Delivery], *, lease_s: float | None = None, patience_s: float | None = None
    ) -> dict[str, str]:
        """Their leases end so long from now. Gives what `ack` does."""
        return await self._say("extend", deliveries, _lease(lease_s), patience_s)

    async def work(self, handler: Handler, *, concurrency: int = 1, lease_s: float = 30.0) -> None:
        """Handle events, `concurrency` at a time, until it is cancelled.

        When `handler` returns, the event is acknowledged. When it raises, the event comes again: after the delay of a
        `Retry`; any other error is logged, and is a `Retry()`. While it runs
        its lease is extended. However long the gateway is away, this waits for it; what was handled meanwhile may come
        again. Cancelled, it cancels what runs, and gives that back.
        """
        free = asyncio.Semaphore(concurrency)
        done = _Done(self)
        running: set[asyncio.Task[None]] = set()
        acking = asyncio.ensure_future(done.run())
        try:
            while True:
                await free.acquire()
                free.release()
                # As many as can be handled at once: what lay here would be kept from others.
                leased = await self.lease(
                    max(concurrency - len(running), 1), wait_s=WAIT_S, lease_s=lease_s, patience_s=math.inf
                )
                for delivery in leased:
                    await free.acquire()
                    task = asyncio.ensure_future(self._handle(handler, delivery, lease_s, done))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    task.add_done_callback(lambda _: free.release())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await done.close()
            acking.cancel()

    async def _handle(self, handler: Handler, delivery: Delivery, lease_s: float, done: _Done) -> None:
        extending = asyncio.ensure_future(self._keep(delivery, lease_s))
        try:
            await handler(delivery.event)
        except asyncio.CancelledError:
            await self.nack([delivery], patience_s=0.0)
            raise
        except Retry as retry:
            delay_s = _delay_s(delivery) if retry.delay_s is None else retry.delay_s
            if retry.reason:
                log.warning("Event %s: %s; it comes again after %g s.", delivery.event.id, retry.reason, delay_s)
            await self.nack([delivery], delay_s=delay_s, patience_s=math.inf)
        except Exception:
            log.exception("Event %s was not handled; it comes again.", delivery.event.id)
            await self.nack([delivery], delay_s=_delay_s(delivery), patience_s=math.inf)
        else:
            done.add(delivery)
        finally:
            extending.cancel()

    async def _keep(self, delivery: Delivery, lease_s: float) -> None:
        """Extend a lease each time half of it has passed."""
        while True:
            await asyncio.sleep(lease_s / 2)
            if await self.extend([delivery], lease_s=lease_s, patience_s=math.inf):
                return  # it is another's by now

    async def _say(
        self, verb: str, deliveries: Iterable[Delivery], members: dict[str, Any], patience_s: float | None
    ) -> dict[str, str]:
        wanted = {"ack_ids": [delivery.ack_id for delivery in deliveries], **members}
        refused: dict[str, str] = (await self._ask(verb, wanted, patience_s=patience_s))["refused"]
        return refused

    async def _ask(
        self, verb: str, wanted: dict[str, Any], *, silence_s: float = ANSWER_S, patience_s: float | None
    ) -> dict[str, Any]:
        request = Request(
            "POST",
            f"{self._path}/{verb}",
            headers={"Content-Type": "application/json"},
            body=orjson.dumps(wanted),
            silence_s=silence_s,
            not_found=SubscriptionNotFound,
        )
        told: dict[str, Any] = orjson.loads((await self._exchange.ask(request, patience_s=patience_s)).body)
        return told


class _Done:
    """Acknowledges what was handled, together what ends while a call is under way."""

    def __init__(self, subscription: PullSubscription) -> None:
        self._subscription = subscription
        self._handled: list[Delivery] = []
        self._some = asyncio.Event()

    def add(self, delivery: Delivery) -> None:
        self._handled.append(delivery)
        self._some.set()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            await self._acknowledge(math.inf)

    async def _acknowledge(self, patience_s: float) -> None:
        handled, self._handled = self._handled, []
        self._some.clear()
        if handled:
            # To acknowledge twice does no harm: so this may be cancelled, and done again.
            self._handled[:0] = handled
            await self._subscription.ack(handled, patience_s=patience_s)
            del self._handled[: len(handled)]

    async def close(self) -> None:
        """Acknowledge what is left, if the gateway is there."""
        await self._acknowledge(0.0)


def _delay_s(delivery: Delivery) -> float:
    return min(FIRST_DELAY_S * 2.0 ** min(delivery.number - 1, 16), MAX_DELAY_S)


def _lease(lease_s: float | None) -> dict[str, float]:
    return {} if lease_s is None else {"lease_s": lease_s}
