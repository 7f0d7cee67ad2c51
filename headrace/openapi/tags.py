"""The chapters that routes are told in, in their order."""

from __future__ import annotations

import enum


class Tag(enum.Enum):
    """A chapter: its name in the document, which is its title, and what it is about."""

    READING = (
        "Reading",
        "The events of a feed, in every way to have them: pages, long poll, server-sent events, WebSocket.",
    )
    WRITING = ("Writing", "Events into a feed. The answer comes when Kafka has them on all in-sync replicas.")
    STREAMS = (
        "Streams",
        "Feeds that clients make by one PUT, at the URL that clients of Durable Streams 1.0 use. All other feeds can "
        "be read and written there, too.",
    )
    FEEDS = ("Feeds", "Which feeds there are, what their events look like, and who follows them.")
    SUBSCRIPTIONS = (
        "Subscriptions",
        "Durable readers with a name: events are pushed to a webhook, or leased by workers.",
    )
    WEBHOOKS = ("Webhooks", "What became of the events of a subscription, moving it, and delivering events once more.")
    PULL = ("Pull subscriptions", "Events without an endpoint: pages and a position, or leases for competing workers.")
    SNAPSHOTS = ("Snapshots", "Positions of a subscription that have a name.")
    ACCESS = ("Access", "Tokens for browsers, which cannot send headers.")
    SERVICE = ("Service", "Health, metrics, and this description.")

    @property
    def title(self) -> str:
        """Its name."""
        return self.value[0]

    @property
    def description(self) -> str:
        """What it is about, in a sentence or two."""
        return self.value[1]
