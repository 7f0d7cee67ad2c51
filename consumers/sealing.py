"""Secrets of subscriptions for the API: what cannot be sealed or opened is a 503 that says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

from headrace.consumers.relay.credentials import Credentials
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.secrets import open_credentials, open_keys, seal_credentials, seal_keys
from headrace.consumers.relay.signing_key import SigningKey
from headrace.consumers.relay.vault import CannotOpen, CannotSeal, Vault
from headrace.http.problems import Problem

T = TypeVar("T")


class Sealing:
    """Seals and opens with the keys of the settings."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def sealed_keys(self, name: str, keys: Sequence[SigningKey]) -> str:
        """Signing keys of a subscription; nothing of none."""
        return self._seal(lambda: seal_keys(self._vault, name, tuple(keys))) if keys else ""

    def sealed_credentials(self, name: str, credentials: Credentials) -> str:
        """Credentials of a subscription."""
        return self._seal(lambda: seal_credentials(self._vault, name, credentials))

    def keys(self, subscription: Subscription) -> tuple[SigningKey, ...]:
        """Its signing keys; raises `Problem` 409 where it has none."""
        if not subscription.sealed_keys:
            raise Problem(HTTPStatus.CONFLICT, "It has no signing key: it was pulled from all the time, never pushed.")
        return _opened(lambda: open_keys(self._vault, subscription))

    def credentials(self, subscription: Subscription) -> Credentials:
        """Its credentials."""
        return _opened(lambda: open_credentials(self._vault, subscription))

    def _seal(self, seal: Callable[[], str]) -> str:
        try:
            return seal()
        except CannotSeal as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None


def _opened(opener: Callable[[], T]) -> T:
    try:
        return opener()
    except CannotOpen as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"Its secrets cannot be opened: {error}.") from None
