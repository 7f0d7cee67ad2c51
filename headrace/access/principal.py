"""Who makes a request, as handlers see it: `principal_of(request)`. Where access is open, somebody who may do all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from aiohttp import web

from headrace import metrics
from headrace.access.credential import Credential
from headrace.access.scopes import SCOPE, Action
from headrace.access.visits import Visit, Visits
from headrace.http.problems import Problem

EVENTS: web.ResponseKey[int] = web.ResponseKey("events", int)
"""How many events an answer holds or has written, for the quotas: set by whoever makes the answer."""


class Everybody:
    """Who makes a request where access is open."""

    metered = False

    def may(self, action: Action, feed: str) -> bool:
        """Whether it may do something with a feed."""
        return True

    def sees(self, feed: str) -> bool:
        """Whether it may do anything at all with a feed, and so may know of it."""
        return True

    def require(self, action: Action, feed: str) -> None:
        """Raise `Problem` 403, which names the scope that is missing, unless it may do that."""

    def on_end(self, close: Callable[[], object]) -> Callable[[], None]:
        """Have a stream closed when the credential that opened it is revoked or expires; see `Principal`."""
        return _nothing

    def charge(self, *, events: int = 0, bytes_: int = 0) -> float:
        """Charge what a stream was sent; gives the seconds for which nothing more should be sent."""
        return 0.0


class Principal(Everybody):
    """Who makes a request, by its credential."""

    def __init__(self, credential: Credential, visit: Visit, visits: Visits) -> None:
        self.credential = credential
        self._visit = visit
        self._visits = visits

    @property
    def metered(self) -> bool:  # type: ignore[override]
        """Whether quotas of events or bytes may hold up a stream."""
        return bool(self._visit.meters)

    def may(self, action: Action, feed: str) -> bool:
        """Whether it may do something with a feed."""
        return self.credential.may(action, feed)

    def sees(self, feed: str) -> bool:
        """Whether it may do anything at all with a feed, and so may know of it."""
        return any(self.may(action, feed) for action in Action)

    def require(self, action: Action, feed: str) -> None:
        """Raise `Problem` 403, which names the scope that is missing, unless it may do that."""
        if not self.may(action, feed):
            raise lacking([(action, feed)])

    def on_end(self, close: Callable[[], object]) -> Callable[[], None]:
        """Call `close` once, on the event loop, when the key is revoked or the token expires.

        From here on the stream counts as open, also after its handler has returned, until the function that this
        returns is called: call it when the stream is over, whoever ended it. It takes the place of the handler's
        cancellation, which is what happens to reading requests that do not call this.
        """
        visit = self._visit
        visit.end, visit.kept = close, True
        if visit.ended:
            close()
        return lambda: self._visits.leave(visit)

    def charge(self, *, events: int = 0, bytes_: int = 0) -> float:
        """Charge what a stream was sent; gives the seconds for which nothing more should be sent."""
        return max((meter.charge(events=events, bytes_=bytes_) for meter in self._visit.meters), default=0.0)


OPEN = Everybody()
PRINCIPAL: web.RequestKey[Everybody] = web.RequestKey("principal", Everybody)


def principal_of(request: web.Request) -> Everybody:
    """Who makes a request."""
    found: Everybody = request.get(PRINCIPAL, OPEN)
    return found


def lacking(scopes: Iterable[tuple[Action, str]]) -> Problem:
    """403, with the scopes that the credential lacks (RFC 6750 section 3.1)."""
    missing = sorted(f"{action}:{feed}" for action, feed in scopes)
    metrics.access_refused.labels("scope").inc()
    challenge = 'Bearer realm="headrace", error="insufficient_scope"'
    # What was asked for may be no name of a feed, and then does not fit into a header.
    if all(SCOPE.fullmatch(scope) for scope in missing):
        challenge += f', scope="{" ".join(missing)}"'
    return Problem(
        HTTPStatus.FORBIDDEN,
        f"This needs the scope {' and '.join(missing)}, which the credential does not have.",
        headers={"WWW-Authenticate": challenge},
        missing_scopes=missing,
    )


def _nothing() -> None:
    return None
