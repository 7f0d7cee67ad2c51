"""The Python client of a gateway: reads, writes and subscribes over HTTP, with neither Kafka nor Faust.

`problems` has the errors, `reading` how a reader goes on, `publishing` how events are sent again, `checkpoint` a file
for a reader's position, `subscription_options` what may be chosen of a subscription.
"""

from headrace.client.checkpoint import Checkpoint, CheckpointError
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
    "Subscription",
    "SubscriptionNotFound",
    "SubscriptionStatus",
    "Subscriptions",
    "Tls",
    "TooLarge",
    "Trial",
    "Unavailable",
    "Undelivered",
    "Unreachable",
    "Written",
]
