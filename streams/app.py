"""The Faust app of a worker: Faust's groups, assignments, agents and tables, with our batches under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from functools import cache
from typing import Any, cast

import structlog
from faust import App, Stream
from faust.sensors.prometheus import FaustMetrics, PrometheusMonitor
from faust.transport.consumer import Consumer
from faust.types import StreamT
from faust.types.transports import ConsumerT, TransportT
from prometheus_client import REGISTRY

from headrace.kafka.bridge import ProducerBridge
from headrace.schemas.catalogue import Catalogue
from headrace.settings import WorkerSettings
from headrace.streams.credentials import faust_credentials
from headrace.streams.emitter import Emitter
from headrace.streams.processor import Processor
from headrace.streams.transport.batch import Batch
from headrace.streams.transport.batch_topic import BatchTopic
from headrace.streams.transport.batch_transport import BatchTransport

log = structlog.get_logger(__name__)

POLL_RECORDS = 4000
"""Most records of one poll: about 50 ms of work, after which everything else on the event loop has its turn."""

WAITING_BATCHES = 16

HAND_OVER_S = 5.0
"""How long the batch in work may take when its partition goes to another worker; then it is repeated there."""


class StreamApp(App):
    """A Faust app that `add` gives processors to. Ordinary agents and tables may be defined on it as well."""

    def __init__(self, settings: WorkerSettings, catalogue: Catalogue, data_dir: str) -> None:
        super().__init__(
            settings.group,
            broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
            broker_credentials=faust_credentials(settings.kafka()),
            broker_commit_interval=settings.commit_interval_s,
            broker_max_poll_records=POLL_RECORDS,
            # Faust's own 60 s would let a partition rest for a minute after its worker was killed.
            broker_session_timeout=10.0,
            broker_heartbeat_interval=3.0,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 * 2**20,
            stream_wait_empty=False,
            topic_disable_leader=True,
            topic_replication_factor=max(settings.replication_factor, 1),
            web_enabled=False,
            datadir=data_dir,
        )
        self.catalogue = catalogue
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.monitor = PrometheusMonitor(metrics=_faust_metrics())
        self._processors: list[Processor] = []
        self._in_work = asyncio.Lock()
        self._bridge = ProducerBridge(settings.kafka(), name="worker", delivery_timeout_s=0, linger_ms=5, gapless=True)
        self._emitter = Emitter(self._bridge, self.fail)

    def _new_transport(self) -> TransportT:
        return BatchTransport(self.conf.broker_consumer, self)

    def add(self, processor: Processor) -> None:
        """Run a processor on its feed."""
        topic = BatchTopic(self, topics=[self.catalogue[processor.feed].feed.topic], maxsize=WAITING_BATCHES)

        async def process(stream: StreamT[Batch]) -> None:
            await self._run(processor, cast("Stream[Batch]", stream))

        self._processors.append(processor)
        self.agent(topic, name=f"headrace.{processor.feed}")(process)

    async def _run(self, processor: Processor, stream: Stream[Batch]) -> None:
        events: AsyncIterable[Any] = stream.noack().events()
        async for event in events:
            async with self._in_work:
                if not self.failure.done():
                    try:
                        await self._emitter.emit(event, await processor.process(event.value))
                    except Exception as error:
                        # Raised into Faust, it would acknowledge the batch and go on: nothing may be stepped over.
                        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """The worker can't go on: it stops without committing, and begins again from what was committed."""
        if not self.failure.done():
            self.failure.set_result(error)

    def committed(self) -> dict[tuple[str, int], int]:
        """The committed offsets of the partitions that this worker has, of the topics that processors read."""
        topics = {self.catalogue[processor.feed].feed.topic for processor in self._processors}
        offsets = cast("Consumer", self.consumer)._committed_offset
        return {(tp.topic, tp.partition): offsets[tp] or 0 for tp in self.consumer.assignment() if tp.topic in topics}

    # Its life

    async def on_start(self) -> None:
        """Load what the processors need before the first batch comes."""
        await asyncio.gather(*(processor.start() for processor in self._processors))
        await super().on_start()

    async def _consumer_wait_empty(self, consumer: ConsumerT, logger: Any) -> None:
        # Partitions are about to go, in a rebalance or at the end, and what was read ahead has been dropped. What is
        # in work is finished and committed, so that a quiet end repeats nothing.
        try:
            async with asyncio.timeout(HAND_OVER_S), self._in_work:
                await self._emitter.flush()
        except TimeoutError:
            log.warning("hand_over_timed_out", seconds=HAND_OVER_S)
        await consumer.commit()

    async def close(self) -> None:
        """Give back what the processors and the producer hold; to be called after `stop`."""
        await asyncio.gather(*(processor.close() for processor in self._processors))
        await self._bridge.close()


@cache
def _faust_metrics() -> FaustMetrics:
    """Faust's own metrics, `faust_*`: one set in a process, as the registry demands."""
    return FaustMetrics.create(REGISTRY, "faust")
