"""Where a URL points, and which URLs may be endpoints."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_HOST_NAME = 253
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points."""

    host: str
    port: int
    tls: bool
    path: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Target:
        """The target of an http or https URL; raises ValueError with what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("the URL must begin with http:// or https://")
        if not parts.hostname:
            raise ValueError("the URL has no host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL must not hold a user name or password")
        if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise ValueError("the URL must be ASCII without spaces: percent-encode the rest")
        if not is_address(parts.hostname) and not _is_name(parts.hostname):
            raise ValueError("the host is neither a name nor an address (write an international name as xn--...)")
        if parts.port == 0:
            raise ValueError("the port must be from 1 to 65535")
        tls = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, path, authority)


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
