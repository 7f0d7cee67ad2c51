"""A lean HTTP/1.1 client on raw sockets: what it costs must not be what limits the figure."""

from __future__ import annotations

import asyncio


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str, **headers: str) -> bytes:
    """The bytes of a GET. `headers` have underscores for hyphens."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{more}\r\n".encode()


class Connection:
    """One keep-alive connection, one exchange at a time. Answers must have a Content-Length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of the loopback interface."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**22))

    async def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send; returns status, head and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.index(b"content-length: ") + 16
        body = await self._reader.readexactly(int(lowered[at : lowered.index(b"\r", at)]))
        return int(head[9:12]), head, body

    def close(self) -> None:
        """Close."""
        self._writer.close()
