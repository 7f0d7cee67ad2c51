"""Parameters that routes of several groups have."""

from __future__ import annotations

from headrace.openapi.operation import Parameter, one_of

FEED = Parameter(
    "feed",
    "The feed's name: its definition's file without `.toml`, or that with `.dead` for its dead letters; or a stream's.",
    {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,249}$"},
    "path",
    example="flights.airlines",
)

CONTENT_ENCODING = Parameter(
    "Content-Encoding", "How the body is compressed.", one_of(("gzip", "x-gzip", "zstd", "identity")), "header"
)
