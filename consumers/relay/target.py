"""Where a URL points, and which URLs may be endpoints."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from headrace.consumers.relay.tls import Tls

MAX_HOST_NAME = 253
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
PORT = re.compile(r"(:[0-9]*)?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A name whose last label is one of these is an IPv4 address to many parsers (WHATWG URL, "ends in a number")."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points, and by which TLS identity. What every request to it shares is worked out once."""

    host: str
    port: int
    tls: bool
    path: str
    authority: str
    identity: Tls | None = None
    origin: str = field(init=False, compare=False, repr=False)
    """Requests of one origin may share connections: it names host, port, scheme and TLS identity."""

    head: str = field(init=False, compare=False, repr=False)
    """What follows the method in the head of a request, as far as the value of `content-length`."""

    def __post_init__(self) -> None:
        origin = f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"
        if (own := self.identity) is not None:
            origin += " " + hashlib.sha256("\0".join([own.certificate, own.key, own.ca]).encode()).hexdigest()
        head = f" {self.path} HTTP/1.1\r\nhost: {self.authority}\r\ncontent-length: "
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "head", head)

    @classmethod
    def of(cls, url: str, identity: Tls | None = None) -> Target:
        """The target of an http or https URL; raises ValueError with what is wrong.

        Whether its host may be dialled is for the guard to say, when its addresses are known.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("the URL must begin with http:// or https://")
        if not parts.hostname:
            raise ValueError("the URL has no host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL must not hold a user name or password")
        if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise ValueError("the URL must be ASCII without spaces: percent-encode the rest")
        if parts.port == 0:  # one that is not a number raises here
            raise ValueError("the port must be from 1 to 65535")
        _check_host(parts.hostname, parts.netloc.lower())
        tls = parts.scheme == "https"
        if identity is not None and not tls:
            raise ValueError("a client certificate or a CA needs a URL that begins with https://")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, path, authority, identity)

    @property
    def server_name(self) -> str:
        """The name that the endpoint's certificate must hold."""
        return self.host.removesuffix(".")


def _check_host(host: str, netloc: str) -> None:
    if "%" in host and is_address(host):
        raise ValueError("the address must not name a zone")
    if not is_address(host):
        if NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            raise ValueError("an IPv4 address is written as four decimal numbers, such as 192.0.2.1")
        if not _is_name(host):
            raise ValueError("the host is neither a name nor an address (write an international name as xn--...)")
    shown = f"[{host}]" if ":" in host else host
    if not netloc.startswith(shown) or not PORT.fullmatch(netloc, len(shown)):
        raise ValueError("the host is neither a name nor an address: there is more in its place")


def is_address(host: str) -> bool:
    """Whether a host is an IP address: then there is no name to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= MAX_HOST_NAME and all(LABEL.fullmatch(label) for label in labels)
