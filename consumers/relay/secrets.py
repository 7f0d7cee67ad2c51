"""The secrets of a subscription: sealed in its definition, opened where they are used."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.consumers.relay.credentials import Credentials
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.signing_key import SigningKey, pack, unpack
from headrace.consumers.relay.vault import Vault


def seal_keys(vault: Vault, subscription_id: str, keys: Sequence[SigningKey]) -> str:
    """Signing keys as a definition holds them; raises `CannotSeal`."""
    return vault.seal(pack(keys), f"{subscription_id}/keys")


def open_keys(vault: Vault, subscription: Subscription) -> tuple[SigningKey, ...]:
    """The signing keys of a subscription; raises `CannotOpen`."""
    return unpack(vault.open(subscription.sealed_keys, f"{subscription.id}/keys"))


def seal_credentials(vault: Vault, subscription_id: str, credentials: Credentials) -> str:
    """Credentials as a definition holds them, empty where there are none; raises `CannotSeal`."""
    if credentials == Credentials():
        return ""
    return vault.seal(credentials.model_dump_json().encode(), f"{subscription_id}/credentials")


def open_credentials(vault: Vault, subscription: Subscription) -> Credentials:
    """The credentials of a subscription; raises `CannotOpen`."""
    if not subscription.sealed_credentials:
        return Credentials()
    return Credentials.model_validate_json(
        vault.open(subscription.sealed_credentials, f"{subscription.id}/credentials")
    )
