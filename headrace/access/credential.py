"""What a request was let in with: the same for keys, JWTs and browser tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.access.quotas import Quotas
from headrace.access.scopes import Action, Scope


class Denied(Exception):
    """No credential, or one that does not hold; the text is for the client, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """`principal` is whose quotas are used, `key_id` the key whose revocation ends it. `expires_s` is since 1970."""

    principal: str
    scopes: tuple[Scope, ...]
    key_id: str | None = None
    expires_s: float | None = None
    quotas: Quotas = field(default_factory=Quotas)
    may_delegate: bool = True

    def may(self, action: Action, feed: str) -> bool:
        """Whether it allows an action on a feed."""
        return any(scope.allows(action, feed) for scope in self.scopes)

    def may_anywhere(self, action: Action) -> bool:
        """Whether it allows an action on any feed at all."""
        return any(scope.action in (action, Action.ADMIN) for scope in self.scopes)
