"""Pulling from a subscription: pages and a position, or leases."""

from __future__ import annotations

from headrace.consumers.lease_request import Acknowledge, Extend, Lease, Nack
from headrace.consumers.operations.parameters import MALFORMED, NO_OWNER, SUBSCRIPTION, TOO_LARGE, UNKNOWN, of_query
from headrace.consumers.pull_answers import Acked, Extended, Leased, Nacked
from headrace.consumers.subscription_answers import SubscriptionNow
from headrace.consumers.subscription_request import Page
from headrace.openapi.operation import JSON, Answer, Content, Operation, answer
from headrace.openapi.tags import Tag
from headrace.schemas.cloud_event import CloudEvent

ONE = "/v1/subscriptions/{id}"
ACK_IDS = {"ack_ids": ["AAAAAAAA"]}
NOT_PULLED = "It is pushed to its URL, or it is paused or disabled."

OPERATIONS = (
    Operation(
        "GET",
        f"{ONE}/events",
        "pull_events",
        Tag.PULL,
        "Read a page from the position",
        description="Of a subscription of either mode: what is not done. The position moves by `ack` alone.",
        parameters=[SUBSCRIPTION, *of_query(Page, {"limit": 10, "wait": 0})],
        answers={
            200: Answer(
                "The events, none where none came within `wait`.",
                {JSON: Content(list[CloudEvent])},
                {"Stream-Next-Offset": "What `ack` takes once these are done."},
            )
        },
        problems={
            400: MALFORMED,
            404: UNKNOWN,
            410: "Events that were not done are no longer kept: `ack` the `earliest_offset` to go on from there.",
            503: NO_OWNER,
        },
    ),
    Operation(
        "POST",
        f"{ONE}/lease",
        "lease_events",
        Tag.PULL,
        "Lease events",
        description="For one worker, as soon as there is one, or none after `wait_s`. What is not acknowledged within "
        "`lease_s` is leased again.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Lease, {"some": {"max_events": 10, "wait_s": 0.1}})},
        body_is_required=False,
        answers={200: answer("The events.", Leased)},
        problems={400: MALFORMED, 404: UNKNOWN, 409: NOT_PULLED, 413: TOO_LARGE, 503: NO_OWNER},
    ),
    Operation(
        "POST",
        f"{ONE}/ack",
        "acknowledge",
        Tag.PULL,
        "Acknowledge events",
        description="By their ack ids; or, by an offset, all below it, also what was caught up on of a webhook. It is "
        "answered once that is in Kafka.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Acknowledge, {"leases": ACK_IDS, "all": {"offset": "now"}})},
        answers={200: answer("What became of it; of an offset, how the subscription stands.", Acked | SubscriptionNow)},
        problems={
            400: MALFORMED,
            404: UNKNOWN,
            409: "It is pushed: there are no leases.",
            413: TOO_LARGE,
            503: NO_OWNER,
        },
    ),
    Operation(
        "POST",
        f"{ONE}/nack",
        "give_back",
        Tag.PULL,
        "Give events back",
        description="They are leased again, at once or after `delay_s`.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Nack, {"later": {**ACK_IDS, "delay_s": 10}})},
        answers={200: answer("What became of it.", Nacked)},
        problems={400: MALFORMED, 404: UNKNOWN, 409: NOT_PULLED, 413: TOO_LARGE, 503: NO_OWNER},
    ),
    Operation(
        "POST",
        f"{ONE}/extend",
        "extend_leases",
        Tag.PULL,
        "Extend leases",
        description="They end `lease_s` from now.",
        parameters=[SUBSCRIPTION],
        body={JSON: Content(Extend, {"minute": {**ACK_IDS, "lease_s": 60}})},
        answers={200: answer("What became of it.", Extended)},
        problems={400: MALFORMED, 404: UNKNOWN, 409: NOT_PULLED, 413: TOO_LARGE, 503: NO_OWNER},
    ),
)
