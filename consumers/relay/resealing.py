"""Sealing anew what older keys have sealed, so that those can be taken out of the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.definitions import Definitions
from headrace.consumers.relay.secrets import open_credentials, open_keys, seal_credentials, seal_keys
from headrace.consumers.relay.vault import CannotOpen, Vault


@dataclass(slots=True)
class Resealed:
    """What was done: how many subscriptions were sealed anew, and why others could not be, by their id."""

    count: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def reseal(definitions: Definitions, vault: Vault) -> Resealed:
    """Seal the secrets of all subscriptions with the vault's first key; raises `CannotSeal`, `KafkaUnavailable`.

    Nothing else of a subscription changes. It may be run while services run, and more than once.
    """
    done = Resealed()
    for name, before in list(definitions.items()):
        try:
            after = await definitions.change(name, _resealing(vault))
            done.count += after is not None and after.sealed_keys != before.sealed_keys
        except CannotOpen as error:
            done.failed[name] = str(error)
    return done


def _resealing(vault: Vault) -> Callable[[Subscription | None], Subscription | None]:
    def resealed(current: Subscription | None) -> Subscription | None:
        if current is None:
            return None
        sealed = [text for text in (current.sealed_keys, current.sealed_credentials) if text]
        if not any(vault.needs_renewal(text) for text in sealed):
            return current
        return current.changed(
            sealed_keys=seal_keys(vault, current.id, open_keys(vault, current)),
            sealed_credentials=seal_credentials(vault, current.id, open_credentials(vault, current)),
        )

    return resealed
