"""Positions of a subscription that have a name."""

from __future__ import annotations

from headrace.consumers.operations.parameters import NO_OWNER, SUBSCRIPTION, UNKNOWN
from headrace.consumers.pull_answers import Snapshot, SnapshotList
from headrace.consumers.subscription_request import MAX_SNAPSHOTS, NAME
from headrace.openapi.operation import Answer, Operation, Parameter, answer
from headrace.openapi.tags import Tag

ALL = "/v1/subscriptions/{id}/snapshots"
ONE = f"{ALL}/{{name}}"
SNAPSHOT = Parameter(
    "name",
    "The snapshot's name.",
    {"type": "string", "pattern": f"^{NAME}$"},
    "path",
    example="before-release",
)
NO_SUCH = "There is no such subscription, or no such snapshot."

OPERATIONS = (
    Operation(
        "GET",
        ALL,
        "list_snapshots",
        Tag.SNAPSHOTS,
        "List snapshots",
        parameters=[SUBSCRIPTION],
        answers={200: answer("All of them.", SnapshotList)},
        problems={404: UNKNOWN, 503: NO_OWNER},
    ),
    Operation(
        "PUT",
        ONE,
        "make_snapshot",
        Tag.SNAPSHOTS,
        "Give the position a name",
        description="It is the position, not a copy: it keeps nothing from retention.",
        parameters=[SUBSCRIPTION, SNAPSHOT],
        answers={
            200: answer("The name stands for the present position now.", Snapshot),
            201: answer("The snapshot was made.", Snapshot),
        },
        problems={
            400: "The name is none.",
            404: UNKNOWN,
            409: f"There are {MAX_SNAPSHOTS} already: delete one.",
            503: NO_OWNER,
        },
    ),
    Operation(
        "GET",
        ONE,
        "get_snapshot",
        Tag.SNAPSHOTS,
        "Show a snapshot",
        parameters=[SUBSCRIPTION, SNAPSHOT],
        answers={200: answer("The snapshot.", Snapshot)},
        problems={404: NO_SUCH, 503: NO_OWNER},
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_snapshot",
        Tag.SNAPSHOTS,
        "Delete a snapshot",
        parameters=[SUBSCRIPTION, SNAPSHOT],
        answers={204: Answer("It is no more.")},
        problems={404: NO_SUCH, 503: NO_OWNER},
    ),
)
