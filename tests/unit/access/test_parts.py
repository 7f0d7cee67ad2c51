"""What stands before the parts of a service, by its settings."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from headrace.access.access import Access
from headrace.access.cors import Cors
from headrace.access.internal_gate import InternalGate
from headrace.access.parts import access_parts
from headrace.errors import Misconfigured
from headrace.settings import GatewaySettings, RelaySettings, ServeSettings, Settings, SourceSettings, WorkerSettings

SERVICES = (GatewaySettings, ServeSettings, RelaySettings, WorkerSettings, SourceSettings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "headrace.internal"])
@pytest.mark.parametrize("kind", SERVICES)
def test_without_access_control_a_service_listens_on_the_loopback_interface_only(
    kind: type[Settings], host: str
) -> None:
    with pytest.raises(Misconfigured, match="Set HEADRACE_ACCESS=keys"):
        access_parts(kind(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
@pytest.mark.parametrize("kind", SERVICES)
def test_on_the_loopback_interface_access_may_be_open_and_then_costs_nothing(kind: type[Settings], host: str) -> None:
    assert access_parts(kind(host=host)) == []


async def test_with_access_control_people_need_keys_and_relays_take_calls_of_gateways_only() -> None:
    for kind in SERVICES:
        (part,) = access_parts(kind(host="0.0.0.0", access="keys"))
        assert type(part) is (Access if kind in (GatewaySettings, ServeSettings) else InternalGate)
        if isinstance(part, Access):
            await part.close()


def test_other_origins_are_let_in_also_where_access_is_open() -> None:
    (part,) = access_parts(GatewaySettings(cors_origins=("https://app.example",)))
    assert type(part) is Cors


@pytest.mark.parametrize("kind", [GatewaySettings, RelaySettings])
def test_access_control_needs_the_keys_that_services_share(
    kind: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_SECRET_KEYS")
    with pytest.raises(Misconfigured, match="HEADRACE_ACCESS=keys needs HEADRACE_SECRET_KEYS"):
        access_parts(kind(access="keys"))


def test_a_provider_is_named_with_its_issuer_and_audience() -> None:
    with pytest.raises(Misconfigured, match="HEADRACE_JWT_AUDIENCE"):
        access_parts(GatewaySettings(access="keys", jwks_url="https://idp.example/jwks", jwt_issuer="x"))


def test_an_admin_key_that_is_none_is_refused() -> None:
    with pytest.raises(Misconfigured, match="HEADRACE_ADMIN_KEY"):
        access_parts(GatewaySettings(access="keys", admin_key=SecretStr("password")))
