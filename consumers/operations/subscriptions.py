"""Subscriptions: their definitions, whether they run, their secrets."""

from __future__ import annotations

from typing import get_args

from headrace.consumers.operations.merge_patch import merge_patch
from headrace.consumers.operations.parameters import (
    IF_MATCH,
    MALFORMED,
    NO_OWNER,
    SUBSCRIPTION,
    TOO_LARGE,
    UNAVAILABLE,
    UNKNOWN,
)
from headrace.consumers.relay.definition import Mode, State
from headrace.consumers.subscription_answers import (
    MadeSubscription,
    RevealedSecret,
    ShownSubscription,
    SubscriptionList,
    SubscriptionNow,
)
from headrace.consumers.subscription_list import DEFAULT_LIMIT, MAX_LIMIT
from headrace.consumers.subscription_request import Create, Resume, Rotate, Wanted
from headrace.openapi.operation import (
    JSON,
    Answer,
    Content,
    Operation,
    Parameter,
    answer,
    one_of,
    whole_number,
)
from headrace.openapi.tags import Tag

MERGE_PATCH = "application/merge-patch+json"
ETAG = {"ETag": "Names this version, for `If-Match`."}
CHANGED = "Somebody has changed it since it was read; `ETag` is the present one."
ONE = "/v1/subscriptions/{id}"

PATCH = merge_patch("SubscriptionPatch", Wanted)

CREATE_EXAMPLES = {
    "webhook": {
        "feed": "flights.airlines",
        "url": "http://127.0.0.1:9000/hook",
        "filter": 'data.carrier == "XX"',
        "ordering": "key",
    },
    "pull": {"feed": "flights.airlines", "mode": "pull", "offset": "-1"},
}

OPERATIONS = (
    Operation(
        "POST",
        "/v1/subscriptions",
        "create_subscription",
        Tag.SUBSCRIPTIONS,
        "Create a subscription",
        description="It begins at `offset` (`-1`, `now`, or a `Stream-Next-Offset`), at a time (`from`), or now. The "
        "answer holds the `secret` that verifies the signatures of a webhook, once.",
        body={JSON: Content(Create, CREATE_EXAMPLES)},
        answers={201: answer("It was made.", MadeSubscription, headers={**ETAG, "Location": "Its URL."})},
        problems={
            400: "The request does not fit, or the endpoint must not be sent to, or does not agree: see `errors`.",
            404: "There is no such feed, or its topic was not made yet.",
            409: "A subscription has this name already.",
            413: TOO_LARGE,
            503: UNAVAILABLE,
        },
    ),
    Operation(
        "GET",
        "/v1/subscriptions",
        "list_subscriptions",
        Tag.SUBSCRIPTIONS,
        "List subscriptions",
        description="The oldest first, without their status. `label.<name>` lists those with that label, too.",
        parameters=[
            Parameter("feed", "Only those of this feed."),
            Parameter("state", "Only those in this state.", one_of(get_args(State))),
            Parameter("mode", "Only those of this mode.", one_of(get_args(Mode))),
            Parameter("limit", "Most of a page.", whole_number(1, MAX_LIMIT, DEFAULT_LIMIT)),
            Parameter("cursor", "The `next_cursor` of the page before."),
        ],
        answers={200: answer("A page.", SubscriptionList)},
        problems={400: "A parameter is not known, or not as it should be.", 503: UNAVAILABLE},
    ),
    Operation(
        "GET",
        ONE,
        "get_subscription",
        Tag.SUBSCRIPTIONS,
        "Show a subscription",
        description="The definition and, from the relay that runs it, how it stands.",
        parameters=[SUBSCRIPTION],
        answers={200: answer("The subscription.", SubscriptionNow, headers=ETAG)},
        problems={404: UNKNOWN, 503: UNAVAILABLE},
    ),
    Operation(
        "PATCH",
        ONE,
        "update_subscription",
        Tag.SUBSCRIPTIONS,
        "Change a subscription",
        description="A JSON merge patch (RFC 7396): what is left out stays, `null` takes a member back to its default. "
        "`auth`, `headers` and `tls` are set whole. With `mode` it changes from pull to webhook and back; its position "
        "stays.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        body={MERGE_PATCH: Content(PATCH, {"label": {"labels": {"team": "delays"}}})},
        answers={200: answer("As it is now; with the `secret` where a key was made.", MadeSubscription, headers=ETAG)},
        problems={400: MALFORMED, 404: UNKNOWN, 412: CHANGED, 413: TOO_LARGE, 503: UNAVAILABLE},
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_subscription",
        Tag.SUBSCRIPTIONS,
        "End a subscription",
        description="For good: its position goes with it.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        answers={204: Answer("It is no more.")},
        problems={404: UNKNOWN, 412: CHANGED, 503: UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{ONE}/pause",
        "pause_subscription",
        Tag.SUBSCRIPTIONS,
        "Pause a subscription",
        description="Nothing is delivered or leased until it is resumed; the position stays.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        answers={200: answer("As it is now.", ShownSubscription, headers=ETAG)},
        problems={404: UNKNOWN, 412: CHANGED, 503: UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{ONE}/disable",
        "disable_subscription",
        Tag.SUBSCRIPTIONS,
        "Disable a subscription",
        description="As a relay does with an endpoint that is given up.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        answers={200: answer("As it is now.", ShownSubscription, headers=ETAG)},
        problems={404: UNKNOWN, 412: CHANGED, 503: UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{ONE}/resume",
        "resume_subscription",
        Tag.SUBSCRIPTIONS,
        "Resume a subscription",
        description="It goes on where it stopped, or with `from` `now` leaves out what came meanwhile.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        body={JSON: Content(Resume, {"stopped": {"from": "stopped"}})},
        body_is_required=False,
        answers={200: answer("As it is now.", ShownSubscription, headers=ETAG)},
        problems={400: MALFORMED, 404: UNKNOWN, 412: CHANGED, 413: TOO_LARGE, 503: NO_OWNER},
    ),
    Operation(
        "POST",
        f"{ONE}/secret/rotate",
        "rotate_secret",
        Tag.SUBSCRIPTIONS,
        "Make a new signing key",
        description="The present one signs, too, for `overlap_s`.",
        parameters=[SUBSCRIPTION, IF_MATCH],
        body={JSON: Content(Rotate, {"day": {"overlap_s": 86400}})},
        body_is_required=False,
        answers={200: answer("With the new `secret`.", MadeSubscription, headers=ETAG)},
        problems={
            400: MALFORMED,
            404: UNKNOWN,
            409: "It has no signing key: it was pulled from all the time.",
            412: CHANGED,
            413: TOO_LARGE,
            503: UNAVAILABLE,
        },
    ),
    Operation(
        "POST",
        f"{ONE}/secret/reveal",
        "reveal_secret",
        Tag.SUBSCRIPTIONS,
        "Show the signing key again",
        description="It is logged who asked.",
        parameters=[SUBSCRIPTION],
        answers={200: answer("The current key.", RevealedSecret)},
        problems={
            404: UNKNOWN,
            409: "It has no signing key: it was pulled from all the time.",
            503: UNAVAILABLE,
        },
    ),
)
