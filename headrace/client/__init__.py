"""The Python client of a gateway: reads, writes and subscribes over HTTP, with neither Kafka nor Faust.

`problems` has the errors, `reading` how a reader goes on, `publishing` how events are sent again, `checkpoint` a file
for a reader's position.
"""

from headrace.client.checkpoint import Checkpoint, CheckpointError
from headrace.client.client import Client
from headrace.client.event import Event, NewEvent
from headrace.client.feed import Feed
from headrace.client.page import Page
from headrace.client.problems import (
    BadRequest,
    Conflict,
    FeedNotFound,
    HeadraceError,
    NotFound,
    OffsetGone,
    ServerError,
    SubscriptionNotFound,
    TooLarge,
    Unavailable,
    Unreachable,
)
from headrace.client.publishing import EventsRejected, Rejection, Written
from headrace.client.subscriptions import Attempt, Subscription, Subscriptions, SubscriptionStatus

__all__ = [
    "Attempt",
    "BadRequest",
    "Checkpoint",
    "CheckpointError",
    "Client",
    "Conflict",
    "Event",
    "EventsRejected",
    "Feed",
    "FeedNotFound",
    "HeadraceError",
    "NewEvent",
    "NotFound",
    "OffsetGone",
    "Page",
    "Rejection",
    "ServerError",
    "Subscription",
    "SubscriptionNotFound",
    "SubscriptionStatus",
    "Subscriptions",
    "TooLarge",
    "Unavailable",
    "Unreachable",
    "Written",
]
