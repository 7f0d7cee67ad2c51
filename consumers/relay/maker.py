"""Making what stands for a subscription on its owner: a runner, a puller, or one at rest."""

from __future__ import annotations

from collections.abc import Callable, Set

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.relay.dead_letters import DeadLetters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint
from headrace.consumers.relay.equipment import Equipment
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.resting import Resting
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.running import Standing
from headrace.consumers.relay.state import Stored
from headrace.consumers.relay.turns import Turns
from headrace.settings import RelaySettings


class Maker:
    """Gives all of one relay what they share; `disable` is called with a subscription that an answer has ended."""

    def __init__(
        self,
        settings: RelaySettings,
        equipment: Equipment,
        journal: Journal,
        dead_letters: DeadLetters,
        disable: Callable[[Subscription, str], None],
    ) -> None:
        self._settings = settings
        self._equipment = equipment
        self._journal = journal
        self._dead_letters = dead_letters
        self._disable = disable
        self._turns = Turns(settings.total_in_flight)
        self._routers: dict[str, Router] = {}

    def endpoint(self, subscription: Subscription, feed_log: FeedLog) -> Endpoint | None:
        """Where it is pushed to, None where it is pulled; raises ValueError, or `CannotOpen` for its secrets."""
        return None if subscription.mode == "pull" else self._equipment.endpoint(subscription, feed_log)

    def stand(
        self, subscription: Subscription, found: Stored, start: Position, feed_log: FeedLog, endpoint: Endpoint | None
    ) -> Standing:
        """What goes on from `found`, or from `start` in a lane of which nothing was kept."""
        if endpoint is not None:
            return self._runner(subscription, found, start, feed_log, endpoint)
        position = tuple(found.lane(p, start).position for p in range(len(feed_log.rings)))
        resting = Resting(subscription, found, position, feed_log)
        # With something parked or leased there is a time to be awake at.
        return self.wake(resting) if found.parked else resting

    def _runner(
        self, subscription: Subscription, found: Stored, start: Position, feed_log: FeedLog, endpoint: Endpoint
    ) -> Runner:
        return Runner(
            subscription,
            found,
            start,
            feed_log,
            endpoint,
            self._equipment.policy(subscription),
            journal=self._journal,
            turns=self._turns,
            router=self._router(feed_log),
            disable=lambda reason: self._disable(subscription, reason),
            dead_letter=lambda offset: self._dead_letters.letter(feed_log.entry.feed, offset),
        )

    def wake(self, resting: Resting) -> Puller:
        """A pull subscription at work, from where it rested."""
        feed_log = resting.feed_log
        return Puller(
            resting.subscription,
            resting.stored(),
            resting.position,
            feed_log,
            max_parked=self._settings.max_parked,
            journal=self._journal,
            router=self._router(feed_log),
            dead_letter=lambda offset: self._dead_letters.letter(feed_log.entry.feed, offset),
            counted=resting.counted,
        )

    def rest(self, puller: Puller) -> Resting:
        """One that nobody asks, at rest from where it stopped."""
        return Resting(puller.subscription, puller.stored(), puller.position, puller.feed_log, puller.counted)

    def let_go(self, read: Set[FeedLog]) -> None:
        """Let go of the routers of feeds that are not among those that are read; those stay followed."""
        for feed, router in list(self._routers.items()):
            if router.feed_log not in read:
                self._routers.pop(feed).close()
        for feed_log in read:
            feed_log.asked()

    def _router(self, feed_log: FeedLog) -> Router:
        feed = feed_log.entry.feed.name
        router = self._routers.get(feed)
        if router is None or router.feed_log is not feed_log:
            router = self._routers[feed] = Router(feed_log)
        return router
