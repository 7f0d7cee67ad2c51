"""The CloudEvent that readers are given, as a type: what `event.to_structured_json` writes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict


@with_config(ConfigDict(extra="allow"))
class CloudEvent(TypedDict):
    """An event: CloudEvents 1.0 in structured JSON. Further members are its extensions, which are text."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(description="Equal ids in a feed are the same event, delivered again.")]
    type: Annotated[str, Field(description="What happened; by default the name of the feed's schema.")]
    source: Annotated[str, Field(description="Who says so.")]
    time: Annotated[str, Field(description="When, in RFC 3339; by default when it was written.")]
    subject: NotRequired[Annotated[str, Field(description="What it is about, within the source.")]]
    datacontenttype: NotRequired[Annotated[str, Field(description="The media type of the data.")]]
    data: NotRequired[Annotated[Any, Field(description="The data in JSON; null where the key was deleted.")]]
    data_base64: NotRequired[
        Annotated[str, Field(description="The data of a feed of bytes, or what cannot be decoded.")]
    ]
    dataerror: NotRequired[Annotated[str, Field(description="Why the data cannot be decoded.")]]
    partitionkey: NotRequired[Annotated[str, Field(description="The record's key: order holds among equal keys.")]]
    partition: Annotated[int, Field(description="Kafka's partition.", ge=0)]
    sequence: Annotated[str, Field(description="Kafka's offset in 19 digits: it sorts as text.", pattern="^[0-9]{19}$")]


EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0195f2f0-7f3b-7c4e-9d55-2f6f8c1a3e10",
    "type": "flights.Airline",
    "source": "/feeds/flights.airlines",
    "time": "2026-11-25T12:00:00.000Z",
    "partitionkey": "XX",
    "partition": 0,
    "sequence": "0000000000000000016",
    "datacontenttype": "application/json",
    "data": {"carrier": "XX", "name": "Example Air"},
}
"""An event of the feed `flights.airlines`."""
