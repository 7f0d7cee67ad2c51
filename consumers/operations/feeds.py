"""Which feeds there are, and who follows them."""

from __future__ import annotations

from headrace.consumers.feed_summary import FeedDescription, FeedList
from headrace.consumers.follower_list import DEFAULT_LIMIT, MOST_LIMIT, FollowerList
from headrace.openapi.operation import Operation, Parameter, answer, one_of, whole_number
from headrace.openapi.parameters import FEED
from headrace.openapi.tags import Tag

OPERATIONS = (
    Operation(
        "GET",
        "/v1/feeds",
        "list_feeds",
        Tag.FEEDS,
        "List the feeds",
        description="Those that the caller may do anything with, dead letters included.",
        answers={200: answer("The feeds.", FeedList)},
    ),
    Operation(
        "GET",
        "/v1/feeds/{feed}",
        "describe_feed",
        Tag.FEEDS,
        "Describe a feed",
        description="Its definition, where its oldest and its next event lie in Kafka, and its schema.",
        parameters=[FEED],
        answers={200: answer("The feed.", FeedDescription)},
        problems={
            404: "There is no such feed, or its topic was not made yet.",
            503: "Kafka does not answer; ask again after `Retry-After`.",
        },
    ),
    Operation(
        "GET",
        "/v1/followers",
        "list_followers",
        Tag.FEEDS,
        "List who follows live",
        description="Server-sent events and WebSockets of the process that answers, those with the most bytes waiting "
        "first.",
        parameters=[
            Parameter("feed", "Only followers of this feed.", example="flights.enriched"),
            Parameter("slow", "`true`: only those whose socket is full.", one_of(("true", "false"), "false")),
            Parameter("limit", "Most followers in the answer.", whole_number(1, MOST_LIMIT, DEFAULT_LIMIT)),
        ],
        answers={200: answer("The followers, and how many there are in all.", FollowerList)},
        problems={400: "A parameter is not as it should be; `parameter` names it."},
    ),
)
