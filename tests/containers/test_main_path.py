"""The image that users run: from a replay to a pull and a push, every service a container of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from containers.services import RECEIVER_PORT, Services
from standardwebhooks import Webhook
from support.waiting import until

pytestmark = pytest.mark.containers

FEED = "flights.enriched"
START_S = 120.0


@pytest.fixture(scope="module")
async def http(services: Services) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {services.admin_key}"}
    async with aiohttp.ClientSession(raise_for_status=True, headers=headers) as session:
        yield session


@pytest.fixture(scope="module")
async def subscription(services: Services, http: aiohttp.ClientSession) -> dict[str, Any]:
    """A subscription from the feed's beginning on, with its secret."""
    wanted = {"feed": FEED, "url": f"http://receiver:{RECEIVER_PORT}/", "offset": "-1"}
    async with http.post(f"{services.url('gateway', 8080)}/v1/subscriptions", json=wanted) as answer:
        made: dict[str, Any] = await answer.json()
        return made


async def test_an_enriched_flight_is_pulled(services: Services, http: aiohttp.ClientSession) -> None:
    flight = (await until(lambda: _pulled(services, http), START_S, every_s=0.5))[0]

    assert flight["type"] == "flights.departure.enriched"
    assert flight["data"]["origin"] in {"EWR", "JFK", "LGA"}
    assert flight["data"]["airline_name"]
    assert flight["data"]["origin_airport"]["name"]


async def test_an_enriched_flight_is_pushed_with_a_signature_that_verifies(
    services: Services, http: aiohttp.ClientSession, subscription: dict[str, Any]
) -> None:
    received = await until(lambda: _received(services, http), START_S, every_s=0.5)

    pushed = set()
    for message in received:
        headers = {name.lower(): value for name, value in message["headers"].items()}
        event = Webhook(subscription["secret"]).verify(message["body"].encode(), headers)
        assert event["id"] == headers["webhook-id"]
        pushed.add(event["id"])
    assert pushed & {event["id"] for event in await _pulled(services, http)}


async def test_the_gateway_reaches_the_relay_at_the_name_it_announces(
    services: Services, http: aiohttp.ClientSession, subscription: dict[str, Any]
) -> None:
    async def owner() -> str | None:
        async with http.get(f"{services.url('gateway', 8080)}/v1/subscriptions/{subscription['id']}") as answer:
            status = (await answer.json())["status"]
            return None if status is None else str(status["owner"])

    address = await until(owner, START_S, every_s=0.5)
    assert re.fullmatch(r"[0-9a-f]{12}:8083", address)


async def test_every_service_tells_its_metrics(
    services: Services, http: aiohttp.ClientSession, subscription: dict[str, Any]
) -> None:
    await until(lambda: _received(services, http), START_S, every_s=0.5)
    await _pulled(services, http)

    for service, port, series in (
        ("replay", 8085, 'headrace_producer_events_total{feed="flights.departures",mode="replay"}'),
        ("worker", 8082, f'headrace_stream_events_total{{feed="{FEED}"}}'),
        ("gateway", 8080, f'headrace_consumer_events_total{{feed="{FEED}",mode="pull"}}'),
        ("relay", 8083, f'headrace_consumer_events_total{{feed="{FEED}",mode="webhook"}}'),
    ):
        async with http.get(f"{services.url(service, port)}/metrics") as answer:
            told = re.search(rf"^{re.escape(series)} (\S+)$", await answer.text(), re.MULTILINE)
        assert told is not None, f"{service} does not tell {series}"
        assert float(told[1]) > 0


async def test_without_a_key_of_the_api_nothing_is_answered(services: Services) -> None:
    for service, port, path in (("gateway", 8080, "/v1/feeds"), ("relay", 8083, "/v1/subscriptions/any")):
        async with aiohttp.request("GET", f"{services.url(service, port)}{path}") as answer:
            assert answer.status == 401, service


async def test_a_key_that_is_made_beside_a_running_gateway_is_taken(services: Services) -> None:
    key = services.run("gateway", ["headrace", "keys", "create", "--name", "me", "--scope", "read:*"]).strip()

    async def taken() -> bool:
        headers = {"X-API-Key": key}
        async with aiohttp.request("GET", f"{services.url('gateway', 8080)}/v1/feeds", headers=headers) as answer:
            return answer.status == 200

    await until(taken)


def test_a_service_runs_without_root_and_its_image_has_no_compiler(services: Services) -> None:
    gateway = services.containers["gateway"]

    assert services.run("gateway", ["id", "-u"]) == "10001\n"
    assert gateway.exec(["sh", "-c", "command -v headrace"]).exit_code == 0
    for compiler in ("cc", "gcc", "clang"):
        assert gateway.exec(["sh", "-c", f"command -v {compiler}"]).exit_code != 0, compiler


def test_the_key_that_compose_makes_is_readable_by_the_services_alone(services: Services) -> None:
    keys = services.run("relay", ["stat", "--format=%U %a", "/var/lib/headrace/secrets/keys"])

    assert keys == "headrace 600\n"
    assert services.containers["relay"].exec(["touch", "/var/lib/headrace/secrets/keys"]).exit_code != 0


def test_without_a_key_a_service_in_a_container_does_not_start(services: Services) -> None:
    services.start("keyless", "serve", 8080)

    container = services.containers["keyless"].get_wrapped_container()
    assert container.wait()["StatusCode"] == 1
    assert b"Set HEADRACE_SECRET_KEYS" in container.logs()


def test_a_stopped_service_drains_and_ends_cleanly(services: Services) -> None:
    services.start("ingest", "ingest", 8081)
    services.wait_healthy("ingest")

    assert services.stop("ingest") == 0


async def _pulled(services: Services, http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    url = f"{services.url('gateway', 8080)}/v1/feeds/{FEED}/events"
    async with http.get(url, params={"offset": "-1", "limit": "1000"}) as answer:
        events: list[dict[str, Any]] = await answer.json()
        return events


async def _received(services: Services, http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with http.get(f"{services.url('receiver', RECEIVER_PORT)}/received") as answer:
        messages: list[dict[str, Any]] = await answer.json()
        return messages
