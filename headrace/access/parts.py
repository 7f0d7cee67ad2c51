"""The parts that stand before those of a service, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.access.cors import Cors
from headrace.errors import Misconfigured
from headrace.secret_keys import is_loopback
from headrace.settings import AccessSettings, SecretsSettings, Settings

if TYPE_CHECKING:
    from headrace.http.service import Part


def access_parts(settings: Settings) -> list[Part]:
    """Cross-origin requests and access, to be put before all other parts; none where nothing is to be checked.

    Raises `Misconfigured` where a service that everybody may use would listen to others than this machine.
    """
    if settings.access == "open" and not is_loopback(settings.host):
        raise Misconfigured(
            f"Without access control a service listens on the loopback interface only, and HEADRACE_HOST is "
            f"{settings.host}. Set HEADRACE_ACCESS=keys, and make a key: `headrace keys create --name NAME --scope "
            "admin:*` (docs/access.md)."
        )
    parts: list[Part] = []
    if isinstance(settings, AccessSettings) and settings.cors_origins:
        parts.append(Cors(settings.cors_origins))
    if settings.access == "keys":
        parts.append(_gate(settings))
    return parts


def _gate(settings: Settings) -> Part:
    # Imported where it is needed: services whose access is open do without.
    from headrace.access.access import Access
    from headrace.access.internal_gate import InternalGate
    from headrace.access.shared_keys import shared_keys

    if isinstance(settings, AccessSettings):
        return Access(settings)
    return InternalGate(shared_keys(settings) if isinstance(settings, SecretsSettings) else ())
