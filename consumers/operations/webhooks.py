"""What became of a subscription's events, and delivering them once more."""

from __future__ import annotations

from headrace.consumers.delivery_answers import AttemptsPage, Redelivery, Trial, Undelivered
from headrace.consumers.operations.parameters import (
    MALFORMED,
    NO_OWNER,
    SUBSCRIPTION,
    TOO_LARGE,
    UNAVAILABLE,
    UNKNOWN,
    of_query,
)
from headrace.consumers.subscription_answers import SubscriptionNow
from headrace.consumers.subscription_attempts import AskAttempts
from headrace.consumers.subscription_request import Redeliver, Seek, Since
from headrace.openapi.operation import JSON, Content, Operation, answer
from headrace.openapi.tags import Tag

ONE = "/v1/subscriptions/{id}"

OPERATIONS = (
    Operation(
        "POST",
        f"{ONE}/seek",
        "seek_subscription",
        Tag.WEBHOOKS,
        "Move a subscription",
        description="To an offset (`-1`, `now`, or a `Stream-Next-Offset`), a time, or a snapshot. What was leased, or "
        "waits for a retry, counts as any other event after the new position.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Seek, {"beginning": {"offset": "-1"}})},
        answers={200: answer("As it stands now.", SubscriptionNow)},
        problems={
            400: "The request does not fit, or the offset is none of this feed.",
            404: "There is no such subscription, or no such snapshot.",
            410: "Events after the offset, or the snapshot, are no longer kept: go on from `earliest_offset`.",
            413: TOO_LARGE,
            503: NO_OWNER,
        },
    ),
    Operation(
        "POST",
        f"{ONE}/test",
        "test_subscription",
        Tag.WEBHOOKS,
        "Send a test event",
        description="One signed event of type `headrace.test`, now; the answer tells how that went.",
        parameters=[SUBSCRIPTION],
        answers={200: answer("How it was taken.", Trial)},
        problems={404: UNKNOWN, 409: "It is pulled from: there is no endpoint.", 503: NO_OWNER},
    ),
    Operation(
        "GET",
        f"{ONE}/attempts",
        "list_attempts",
        Tag.WEBHOOKS,
        "List attempts",
        description="In their order, from the oldest that is kept, or from an offset or a time on. A page without "
        "`Stream-Up-To-Date` is not the last one, even an empty one.",
        parameters=[SUBSCRIPTION, *of_query(AskAttempts, {"limit": 10})],
        answers={
            200: answer("A page.", AttemptsPage, headers={"Stream-Up-To-Date": "`true`: there was nothing more."})
        },
        problems={
            400: MALFORMED,
            404: "There is no such subscription, or there are no attempts yet.",
            410: "Attempts after the offset are no longer kept.",
            503: UNAVAILABLE,
        },
    ),
    Operation(
        "GET",
        f"{ONE}/undelivered",
        "list_undelivered",
        Tag.WEBHOOKS,
        "List what was not delivered",
        description="The position, what waits for a retry, and what became a dead letter.",
        parameters=[SUBSCRIPTION, *of_query(Since)],
        answers={200: answer("What was not delivered.", Undelivered)},
        problems={400: MALFORMED, 404: UNKNOWN, 503: NO_OWNER},
    ),
    Operation(
        "POST",
        f"{ONE}/redeliver",
        "redeliver",
        Tag.WEBHOOKS,
        "Deliver events once more",
        description="One event, by `partition` and an `offset` that is a number; all `dead_letters`, or those since "
        "`from`; or what lies between `from` and `to`, below its position. The position stays.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Redeliver, {"dead letters": {"dead_letters": True}})},
        answers={202: answer("How many events that are.", Redelivery)},
        problems={
            400: MALFORMED,
            404: "There is no such subscription, or the log has no such event.",
            409: "Too many: a seek moves the subscription there instead.",
            413: TOO_LARGE,
            503: NO_OWNER,
        },
    ),
)
