"""The public keys that JWTs are verified with: a JWK Set (RFC 7517) at an https URL or in a file, kept fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp
import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from headrace import metrics
from headrace.errors import Misconfigured

log = structlog.get_logger(__name__)

FRESH_S = 300.0
REFETCH_S = 10.0
"""The least time between two fetches for a key id that is not known: anybody can make such ids up."""
FETCH_S = 5.0
MAX_BYTES = 1 << 20
MIN_RSA_BITS = 2048


class Jwks:
    """A set of keys by their id. While it cannot be fetched, the last one holds."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._path = _path(source)
        self._keys: dict[str | None, Key] = {}
        self._fetched_s = self._asked_s = -FRESH_S
        self._fetching = asyncio.Lock()
        self.version = 0
        self.fetches = 0

    @property
    def loaded(self) -> bool:
        """Whether there is any key."""
        return bool(self._keys)

    async def key(self, kid: str | None) -> Key | None:
        """The key of an id; without an id, the only one there is. An unknown id is looked for anew, now and then."""
        found = self._find(kid)
        if found is None and self._clock() - self._asked_s >= REFETCH_S:
            await self.refresh(REFETCH_S)
            found = self._find(kid)
        return found

    def _find(self, kid: str | None) -> Key | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def refresh(self, older_than_s: float = FRESH_S) -> None:
        """Fetch the set unless it was asked for within that time. A failure is logged and counted."""
        async with self._fetching:
            if self._clock() - self._asked_s < older_than_s:
                return
            self._asked_s = self._clock()
            self.fetches += 1
            try:
                body = await self._fetch()
                keys = _usable(orjson.loads(body)["keys"])
            except (OSError, aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
                log.error("jwks_not_fetched", source=self._source, reason=repr(error))
                metrics.errors.labels("jwks").inc()
                return
            if {kid: key.thumbprint() for kid, key in keys.items()} != {
                kid: key.thumbprint() for kid, key in self._keys.items()
            }:
                self._keys = keys
                self.version += 1

    async def _fetch(self) -> bytes:
        if self._path is not None:
            return await asyncio.to_thread(self._path.read_bytes)
        timeout = aiohttp.ClientTimeout(total=FETCH_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A redirect could lead to a place that is not https, or to nobody's.
            session.get(self._source, allow_redirects=False, raise_for_status=True) as answer,
        ):
            return await answer.content.read(MAX_BYTES) if answer.status == 200 else b""


def _path(source: str) -> Path | None:
    """The file that a source names; None for an https URL. Raises `Misconfigured` for anything else."""
    parts = urlsplit(source)
    if parts.scheme == "https" and parts.hostname:
        return None
    if parts.scheme in ("", "file"):
        path = Path(url2pathname(parts.path))
        if path.is_file():
            return path
        raise Misconfigured(f"HEADRACE_JWKS_URL names {path}, which is no file.")
    raise Misconfigured("HEADRACE_JWKS_URL must be https, or a file: keys that come unprotected could be anybody's.")


def _usable(entries: list[dict[str, object]]) -> dict[str | None, Key]:
    """The public keys for signatures. Others are left out: symmetric, short, for encryption, or of unknown kinds."""
    found: dict[str | None, Key] = {}
    for entry in entries:
        if entry.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(entry)  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError):
            continue
        short = isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS
        if isinstance(key, (ECKey, OKPKey, RSAKey)) and not short:
            found[key.kid] = key
    return found
