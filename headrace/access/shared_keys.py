"""The keys that gateways and relays share: what they sign to each other comes from them."""

from __future__ import annotations

from headrace.errors import Misconfigured
from headrace.secret_keys import HOW, VARIABLE, SecretKey, secret_keys
from headrace.settings import SecretsSettings


def shared_keys(settings: SecretsSettings) -> tuple[SecretKey, ...]:
    """The keys of the settings; raises `Misconfigured` where there are none."""
    keys = secret_keys(settings)
    if not keys:
        raise Misconfigured(f"HEADRACE_ACCESS=keys needs {VARIABLE}, the same for every gateway and relay. {HOW}")
    return keys
