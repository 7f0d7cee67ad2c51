"""The opening handshake (RFC 6455 section 4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from headrace.consumers.websocket.deflate import Deflate, negotiate
from headrace.http.problems import Problem

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_BYTES = 16
VERSION = "13"


def wants_websocket(request: web.Request) -> bool:
    """Whether the client asks for an upgrade to WebSocket."""
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What was agreed: the subprotocol, where there is one, and compression."""

    accept: str
    subprotocol: str | None
    deflate: Deflate | None

    def head(self, **headers: str) -> bytes:
        """The answer 101. `headers` are further ones, with underscores for hyphens."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {self.accept}",
        ]
        if self.subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {self.subprotocol}")
        if self.deflate is not None:
            lines.append(f"Sec-WebSocket-Extensions: {self.deflate.answer}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join((*lines, "", "")).encode()


def shake_hands(request: web.Request, subprotocols: tuple[str, ...]) -> Handshake:
    """Agree with a client, on the first of its subprotocols that is known.

    Raises `Problem`: 400 for a handshake that is none or offers only unknown subprotocols, 426 for another version.
    """
    headers = request.headers
    connection = ",".join(headers.getall("Connection", ())).lower()
    if "upgrade" not in [part.strip() for part in connection.split(",")]:
        raise Problem(HTTPStatus.BAD_REQUEST, "An upgrade to WebSocket needs the header Connection: Upgrade.")
    if headers.get("Sec-WebSocket-Version", "").strip() != VERSION:
        raise Problem(
            HTTPStatus.UPGRADE_REQUIRED,
            f"Sec-WebSocket-Version is {VERSION}.",
            headers={"Sec-WebSocket-Version": VERSION, "Upgrade": "websocket"},
        )
    key = headers.get("Sec-WebSocket-Key", "").strip()
    if not _is_key(key):
        raise Problem(HTTPStatus.BAD_REQUEST, f"Sec-WebSocket-Key is {KEY_BYTES} bytes in base64.")
    accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()  # noqa: S324
    offered = [part.strip() for part in ",".join(headers.getall("Sec-WebSocket-Protocol", ())).split(",")]
    chosen = next((name for name in offered if name in subprotocols), None)
    if chosen is None and any(offered):
        # Without an answer to its offer a browser breaks off, and others go on in the belief that it was taken.
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"Sec-WebSocket-Protocol: {', '.join(subprotocols)} are spoken here, or none."
        )
    return Handshake(accept, chosen, negotiate(headers.getall("Sec-WebSocket-Extensions", ())))


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
