"""A receiver that fails in every way, at random: what it takes is noted."""

from __future__ import annotations

import random
import time

from aiohttp import web
from faults.deliveries import Deliveries
from support.receiver import Answer, Delivery, Receiver, after, chunked, closes, garbage, status

POISON_EVERY = 41
"""Of so many events one is refused for ever, and so becomes a dead letter."""

TIMEOUT_S = 2.0
"""The relays' attempt time-out: slow is well below, a hang well above."""

SLOW_S = 0.3
PAUSE_EVERY_S = 10.0

NO_CONTENT = status(204)
FAILURES: tuple[Answer, ...] = (
    status(500),
    status(502, body=b"x" * 50_000),
    status(408),
    status(301, {"Location": "http://127.0.0.1:1/"}),
    closes,
    garbage,
    chunked(20_000, 1000, 500),
    after(2 * TIMEOUT_S, status(500)),
)


def is_poison(event_id: str) -> bool:
    """Whether an event is refused for ever."""
    return int(event_id.rsplit("-", 1)[1]) % POISON_EVERY == POISON_EVERY - 1


class Failing:
    """Answers for one subscription. `refuses`: poisonous events are refused with 400.

    `failing` is the share of requests that fail. Now and then the endpoint asks for a pause of a second, by 429.
    """

    def __init__(
        self, receiving: Receiver, deliveries: Deliveries, seed: str, *, refuses: bool = True, failing: float = 0.1
    ) -> None:
        self._receiving = receiving
        self._deliveries = deliveries
        self._refuses = refuses
        self._failing = failing
        self._random = random.Random(seed)
        self._pauses_s = time.monotonic() + PAUSE_EVERY_S
        receiving.choose = self._choose

    def _choose(self, delivery: Delivery) -> Answer:
        self._receiving.deliveries.clear()
        body = delivery.event
        ids = [str(event["id"]) for event in (body if isinstance(body, list) else [body])]
        answer, takes = self._answer(ids)
        self._deliveries.attempted(ids)
        if takes:
            self._deliveries.take(ids)

        async def noted(request: web.Request) -> web.StreamResponse:
            try:
                return await answer(request)
            finally:
                self._deliveries.ended(ids, takes)

        return noted

    def _answer(self, ids: list[str]) -> tuple[Answer, bool]:
        """What is answered, and whether the events are taken by it."""
        if self._refuses and any(is_poison(event_id) for event_id in ids):
            return status(400), False
        now_s = time.monotonic()
        if now_s >= self._pauses_s:
            self._pauses_s = now_s + PAUSE_EVERY_S
            return status(429, {"Retry-After": "1"}), False
        if self._random.random() < self._failing:
            return self._random.choice(FAILURES), False
        return (after(SLOW_S, NO_CONTENT) if self._random.random() < 0.05 else NO_CONTENT), True
