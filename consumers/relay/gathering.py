"""Which events go into a subscription's next request: due ones first, then what is read on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.position import PositionGone
from headrace.consumers.relay.breaker import Breaker
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.lineup import Job, Lineup
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.settling import Settling
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

TROUBLE_S = 1.0
"""Pause after Kafka failed, before it is asked again."""


class Gathering:
    """Brings events together for one request, of `batch.max_events` at most.

    It reads from memory at once; what needs waiting is done in a task, after which it calls `pump`.
    """

    def __init__(
        self,
        subscription: Subscription,
        lineup: Lineup,
        intake: Intake,
        settling: Settling,
        keeper: Keeper,
        reports: Reports,
        breaker: Breaker,
        pump: Callable[[], None],
    ) -> None:
        self.jobs: list[Job] = []
        self._name = subscription.id
        self._batch = subscription.options.batch
        self._lineup = lineup
        self._intake = intake
        self._settling = settling
        self._keeper = keeper
        self._reports = reports
        self._breaker = breaker
        self._pump = pump
        self._began_s = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._parking = False

    def ready_at(self, now_s: float) -> float | None:
        """When a request may go: at once where that is not after `now_s`, never before there is more where None."""
        while len(self.jobs) < self._batch.max_events:
            if (job := self._next()) is None:
                break
            if not self.jobs:
                self._began_s = now_s
            self.jobs.append(job)
        if not self.jobs:
            return None
        if len(self.jobs) == self._batch.max_events:
            return now_s
        return self._began_s + self._batch.max_wait_ms / 1000

    def take(self) -> list[Job]:
        """The events of the request: they are in flight."""
        jobs, self.jobs = self.jobs, []
        return jobs

    def _next(self) -> Job | None:
        """The next event; a probe is best made with one that has not failed, as a bad one fails on a good endpoint."""
        if self._breaker.state == "closed":
            return self._lineup.take() or self._read_on()
        if (job := self._lineup.take_new()) is not None:
            return job
        if self._intake.full and (job := self._lineup.take()) is not None:
            return job  # to find a new one would mean to park more, while all of them fail
        return self._read_on() or self._lineup.take()

    def _read_on(self) -> Job | None:
        # A batch may hold nothing that may go: what was done before, or waits behind a failed one of its key.
        while self._reading is None and not self._settling.full:
            if self._intake.full:
                if self._settling.parked and (waiting := self._lineup.behind_parked()):
                    self._spawn(self._settling.park(dict.fromkeys(waiting, 0)), parking=True)
                return None
            read = self._intake.read_memory()
            if read is None:
                self._spawn(self._intake.read_history())
                return None
            if (job := self._lineup.take()) is not None or not read:
                return job
        return None

    def _spawn(self, work: Coroutine[Any, Any, None], *, parking: bool = False) -> None:
        self._parking = parking
        self._reading = asyncio.ensure_future(self._read(work))

    async def _read(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except PositionGone as error:
            # The log dropped events before they were delivered: say so, and go on with what is left.
            for partition, first, end in self._intake.skip_to(error.earliest):
                self._reports.lost(partition, first, end)
        except KafkaUnavailable as error:
            log.warning("subscription_waits_for_kafka", subscription=self._name, reason=str(error))
            await asyncio.sleep(TROUBLE_S)
        except Exception:
            log.exception("reading_failed", subscription=self._name)
            metrics.errors.labels("relay").inc()
            await asyncio.sleep(TROUBLE_S)
        finally:
            self._reading = None
        self._keeper.mark()
        self._pump()

    async def close(self) -> None:
        """End what is being read; what is being parked comes to its end, so that it is known what was."""
        if self._reading is not None:
            if not self._parking:
                self._reading.cancel()
            await asyncio.wait([self._reading])
