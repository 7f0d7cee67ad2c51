"""The Python client of a gateway: reads, writes and subscribes over HTTP, with neither Kafka nor Faust.

`problems` has the errors, `reader` how a reader goes on, `publishing` how events are sent again, `checkpoint` a file
for a reader's position, `subscription_options` what may be chosen of a subscription.
"""

from headrace.client.checkpoint import Checkpoint, CheckpointError, CheckpointStore
from headrace.client.client import Client
from headrace.client.deliveries import Attempt, DeadLetter, Parked, Trial, Undelivered
from headrace.client.event import Event, NewEvent
from headrace.client.feed import Feed
from headrace.client.page import Page
from headrace.client.problems import (
    AccessDenied,
    BadRequest,
    Conflict,
    FeedNotFound,
    HeadraceError,
    NotFound,
    OffsetGone,
    PreconditionFailed,
    ServerError,
    SubscriptionNotFound,
    TooLarge,
    Unavailable,
    Unreachable,
)
from headrace.client.publishing import EventsRejected, Rejection, Written
from headrace.client.snapshots import Snapshot, Snapshots
from headrace.client.subscription import Breaker, Subscription, SubscriptionStatus
from headrace.client.subscription_options import (
    Basic,
    Batch,
    Bearer,
    Changes,
    ClientCredentials,
    Options,
    Tls,
)
from headrace.client.subscriptions import Subscriptions
from headrace.client.wanted import Slow, Transport, Wanted
from headrace.client.work import Delivery, PullSubscription, Retry

__all__ = [
    "AccessDenied",
    "Attempt",
    "BadRequest",
    "Basic",
    "Batch",
    "Bearer",
    "Breaker",
    "Changes",
    "Checkpoint",
    "CheckpointError",
    "CheckpointStore",
    "Client",
    "ClientCredentials",
    "Conflict",
    "DeadLetter",
    "Delivery",
    "Event",
    "EventsRejected",
    "Feed",
    "FeedNotFound",
    "HeadraceError",
    "NewEvent",
    "NotFound",
    "OffsetGone",
    "Options",
    "Page",
    "Parked",
    "PreconditionFailed",
    "PullSubscription",
    "Rejection",
    "Retry",
    "ServerError",
    "Slow",
    "Snapshot",
    "Snapshots",
    "Subscription",
    "SubscriptionNotFound",
    "SubscriptionStatus",
    "Subscriptions",
    "Tls",
    "TooLarge",
    "Transport",
    "Trial",
    "Unavailable",
    "Undelivered",
    "Unreachable",
    "Wanted",
    "Written",
]
