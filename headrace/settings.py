"""Every setting of every service, read from `HEADRACE_*` environment variables: one class per service."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

KAFKA_PREFIX = "HEADRACE_KAFKA_"


class Settings(BaseSettings):
    """What all services share."""

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka's address list, `host:port,...`.")
    feeds: Path | None = Field(
        None, description="A directory of your own feed definitions and schemas, beside the built-in ones."
    )
    schema_registry_url: str | None = Field(
        None,
        description="A Confluent-compatible registry. Without it, ids come from the ids file of the feeds.",
    )
    schema_registry_user_info: str | None = Field(None, description="`user:password` for the registry.")
    replication_factor: int = Field(-1, description="Of topics that Headrace creates; -1 takes the broker's default.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("auto", description="json, console, or auto: console on a terminal, else json.")
    host: str = Field("127.0.0.1", description="The address that a service listens on.")
    access: Literal["open", "keys"] = Field(
        "open",
        description="open: everybody may do everything, and services listen on the loopback interface only; keys: only "
        "who has a key or a token (docs/access.md). The same for every service.",
    )
    drain_s: float = Field(10.0, description="How long a service may take to finish its work after SIGTERM.")

    def schema_registry(self) -> dict[str, str | int]:
        """The configuration of the registry's client."""
        settings: dict[str, str | int] = {"url": self.schema_registry_url or "", "timeout": 5, "max.retries": 1}
        if self.schema_registry_user_info is not None:
            settings["basic.auth.user.info"] = self.schema_registry_user_info
        return settings

    def kafka(self) -> dict[str, str | int | float | bool]:
        """librdkafka's configuration: the address, and every `HEADRACE_KAFKA_*` variable as a property.

        `HEADRACE_KAFKA_SECURITY_PROTOCOL=SASL_SSL` becomes `security.protocol=SASL_SSL`.
        """
        return {"bootstrap.servers": self.bootstrap_servers, **kafka_properties(os.environ)}


def kafka_properties(environ: Mapping[str, str]) -> dict[str, str | int | float | bool]:
    """librdkafka properties named by environment variables that begin with `HEADRACE_KAFKA_`."""
    return {
        name.removeprefix(KAFKA_PREFIX).lower().replace("_", "."): value
        for name, value in environ.items()
        if name.startswith(KAFKA_PREFIX)
    }


def _list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Limit = Annotated[float, Field(gt=0)] | None


class AccessSettings(Settings):
    """Access: in gateway, ingest and serve, where `HEADRACE_ACCESS` is `keys`."""

    admin_key: SecretStr | None = Field(
        None,
        description="A key that may do everything, `hr_<id>_<secret>`, to begin with; `headrace keys generate` makes "
        "one. Others are in Kafka.",
    )
    jwks_url: str | None = Field(
        None, description="The keys that JWTs are verified with, a JWK Set: an https URL, or a file."
    )
    jwt_issuer: str | None = Field(None, description="What the claim `iss` of a JWT must be.")
    jwt_audience: str | None = Field(None, description="What the claim `aud` of a JWT must be, or hold.")
    quota_requests_per_s: Limit = Field(
        None, description="Of each key without a limit of its own, and each JWT's `sub`."
    )
    quota_events_per_s: Limit = Field(None, description="The same, for events read and written.")
    quota_bytes_per_s: Limit = Field(None, description="The same, for bytes of bodies, both ways.")
    quota_connections: Annotated[int, Field(gt=0)] | None = Field(
        None, description="The same, for requests under way and open streams."
    )
    address_requests_per_s: Limit = Field(
        None, description="Of each address, whoever asks; not for use behind a proxy, whose address all clients share."
    )
    address_events_per_s: Limit = Field(None, description="The same, for events.")
    address_bytes_per_s: Limit = Field(None, description="The same, for bytes.")
    address_connections: Annotated[int, Field(gt=0)] | None = Field(None, description="The same, for connections.")
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_list)] = Field(
        (),
        description="Origins whose pages may use the API, `https://app.example,https://other.example`, or `*` for all; "
        "also where access is open.",
    )


class IngestSettings(AccessSettings):
    """The writing API."""

    port: int = Field(8081, description="Port of `headrace ingest`.", alias="HEADRACE_INGEST_PORT")
    max_body_bytes: int = Field(16 * 2**20, description="Largest request body, after decompression.")
    max_event_bytes: int = Field(
        900_000, description="Largest encoded event; keep it below the brokers' message.max.bytes."
    )
    queue_bytes: int = Field(
        64 * 2**20, description="Bytes that may wait for Kafka's acknowledgement; beyond them: 503."
    )
    delivery_timeout_s: float = Field(
        10.0,
        description="How long an event may wait for its acknowledgement; keep it below your clients' patience.",
    )


class SecretsSettings(Settings):
    """Secrets of subscriptions: in gateway, serve and relay."""

    secret_keys: SecretStr | None = Field(
        None,
        description="The keys that encrypt secrets at rest, `id:base64 of 32 bytes`, separated by commas: the first "
        "encrypts, all decrypt. The same for every gateway and relay; `headrace secrets new-key` makes one. Needed "
        "where a service listens on more than the loopback interface; `headrace up` makes one for itself.",
    )
    secret_keys_file: Path | None = Field(
        None, description="A file of such keys, which follow those of `HEADRACE_SECRET_KEYS`."
    )
    secret_overlap_s: float = Field(
        86_400.0,
        ge=0,
        le=7 * 86_400,
        description="How long a signing key is used beside the one that replaces it, where the call does not say.",
    )


Network = IPv4Network | IPv6Network
IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def _networks(value: object) -> object:
    """Networks that are separated by commas; raises ValueError for what is none, such as `10.1.2.3/8`."""
    if not isinstance(value, str):
        return value
    found = tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    for network in found:
        if isinstance(network, IPv6Network) and network.overlaps(IPV4_MAPPED) and network.prefixlen >= 96:
            raise ValueError(f"{network} is of IPv4: write it as an IPv4 network")
    return found


class WebhookSettings(Settings):
    """Where webhooks may go: for relays and for what registers subscriptions, the same for both."""

    webhook_allow: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        description="Networks, `10.1.0.0/16,127.0.0.1/32`, that webhooks may go to besides public addresses. Addresses "
        "of clouds' metadata are allowed only one by one: `169.254.169.254/32`.",
    )
    webhook_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_list)] = (
        Field((), description="Ports, `443,8443`, that webhooks may go to; without it any port.")
    )
    webhook_origin: str = Field(
        "headrace.invalid",
        description="Your host name: who asks an endpoint whether it wants webhooks (WebHook-Request-Origin).",
    )


class ServeSettings(SecretsSettings, WebhookSettings, AccessSettings):
    """The reading and admin API."""

    port: int = Field(8080, description="Port of `headrace serve`.", alias="HEADRACE_SERVE_PORT")
    ring_bytes: int = Field(16 * 2**20, description="Newest events kept in memory, per partition.")
    ring_age_s: float = Field(300.0, description="How long the newest events are kept in memory.")
    history_consumers: int = Field(4, description="Kafka consumers that read what is older than the memory.")
    page_events: int = Field(1000, description="Most events in one answer unless `limit` asks for another number.")
    max_page_events: int = Field(10_000, description="Highest `limit`.")
    long_poll_s: float = Field(25.0, description="How long a long poll waits for an event.")
    live_s: float = Field(
        300.0,
        description="After about this long (±20 %) an SSE or WebSocket connection is closed, for its client to resume.",
    )
    flush_s: float = Field(
        0.01, description="Followers are written to at most this often; what comes in between goes together."
    )
    heartbeat_s: float = Field(
        20.0, description="A quiet SSE connection gets a comment this often, a quiet WebSocket a ping."
    )
    websocket_message_bytes: int = Field(
        4 * 2**20, description="Largest message that a client may send over WebSocket, inflated."
    )
    owner_wait_s: float = Field(
        10.0,
        description="How long a call about a subscription waits for a relay that owns it; while it changes its owner, "
        "that takes a session's time-out and a rebalance.",
    )
    slow_s: float = Field(
        10.0, description="How long a client with `slow=disconnect` may take nothing before it is disconnected."
    )


class GatewaySettings(IngestSettings, ServeSettings):
    """Both APIs on one port."""

    port: int = Field(8080, description="Port of `headrace gateway`.", alias="HEADRACE_GATEWAY_PORT")


class WorkerSettings(Settings):
    """The Faust worker."""

    port: int = Field(8082, description="Port of the worker's metrics.", alias="HEADRACE_WORKER_PORT")
    app: str = Field(
        "headrace.streams.flights.processor:add_to",
        description="What to run: `module:function`; the function adds stream processors to the worker's Faust app.",
    )
    group: str = Field("headrace.worker", description="The consumer group, and Faust's app id.")
    dedup_events: int = Field(
        100_000, description="Per partition, how many of the latest event ids are remembered to drop repeats."
    )
    commit_interval_s: float = Field(1.0, description="How often the worker commits its position.")
    stalled_s: float = Field(60.0, description="The worker exits when the log grows and it stands still this long.")


class RelaySettings(SecretsSettings, WebhookSettings):
    """The owner of subscriptions."""

    port: int = Field(8083, description="Port of `headrace relay`.", alias="HEADRACE_RELAY_PORT")
    advertise: str = Field(
        "", description="`host:port` at which gateways reach this relay; by default its host name and port."
    )
    ring_bytes: int = Field(16 * 2**20, description="Newest events kept in memory, per partition.")
    ring_age_s: float = Field(300.0, description="How long the newest events are kept in memory.")
    history_consumers: int = Field(4, description="Kafka consumers that read what is older than the memory.")
    max_in_flight: int = Field(64, description="Requests that may be under way to one endpoint.")
    total_in_flight: int = Field(2000, description="Requests that may be under way in all.")
    max_parked: int = Field(10_000, description="Failed events of one subscription that wait for their retry.")
    attempt_timeout_s: float = Field(
        15.0, description="One deadline for a whole attempt: DNS to the answer's last byte."
    )
    connect_timeout_s: float = Field(5.0, description="How long of it connecting may take: TCP and TLS.")
    retry_schedule_s: Annotated[tuple[Annotated[float, Field(gt=0)], ...], NoDecode, BeforeValidator(_list)] = Field(
        (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        max_length=50,
        description="Waits between the attempts of an event, each ±20 %, where its subscription says nothing else; "
        "after the last attempt it becomes a dead letter.",
    )
    failures_to_open: int = Field(10, ge=1, description="Failures in a row that open an endpoint's breaker.")
    first_open_s: float = Field(5.0, gt=0, description="How long it stays open at first; then twice as long each time.")
    max_open_s: float = Field(600.0, gt=0, description="How long it stays open at most between two probes.")
    disable_after_s: float = Field(
        432_000.0, gt=0, description="A subscription is disabled after so long without one success (5 days)."
    )
    write_interval_s: float = Field(0.1, description="How often a moving position is written, at most.")
    mirror_interval_s: float = Field(3.0, description="How often positions are shown to Kafka's own tools.")

    def advertised(self) -> str:
        """`host:port` at which other processes reach this one."""
        if self.advertise:
            return self.advertise
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"{host}:{self.port}"


class SourceSettings(Settings):
    """Sources: replay."""

    port: int = Field(8085, description="Port of the metrics of `headrace source`.", alias="HEADRACE_SOURCE_PORT")
    max_event_bytes: int = Field(
        900_000, description="Largest encoded event; keep it below the brokers' message.max.bytes."
    )
    queue_bytes: int = Field(64 * 2**20, description="Bytes that may wait for Kafka's acknowledgement.")
    delivery_timeout_s: float = Field(
        60.0,
        description="How long Kafka's client tries to write an event, in order. Shorter than `retry_s`, it is tried "
        "anew, but events of the same key may then have been written before it.",
    )
    retry_s: float = Field(60.0, description="A source gives up when an event was not acknowledged for this long.")


class ClientSettings(BaseSettings):
    """The command line's reading and admin commands."""

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    url: str = Field("http://127.0.0.1:8080", description="The gateway that the commands talk to.")
    api_key: SecretStr | None = Field(None, description="The key, or JWT, that they show to it.")


def reference_page() -> str:
    """All settings as Markdown: what `docs/settings.md` holds."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. This page is made by `python -m headrace.settings`.",
        "",
        "Besides these, every variable `HEADRACE_KAFKA_*` is a property of Kafka's client library, librdkafka:",
        "`HEADRACE_KAFKA_SASL_USERNAME` is `sasl.username`. `HEADRACE_DATA_DIR` and `HEADRACE_CACHE_DIR` move what the",
        "embedded broker keeps, `XDG_DATA_HOME` and `XDG_CACHE_HOME` by default.",
    ]
    kinds: tuple[type[BaseSettings], ...] = (
        Settings,
        AccessSettings,
        GatewaySettings,
        IngestSettings,
        ServeSettings,
        WebhookSettings,
        WorkerSettings,
        RelaySettings,
        SecretsSettings,
        SourceSettings,
        ClientSettings,
    )
    for kind in kinds:
        title = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        lines += ["", f"## {title}", "", "| variable | default | |", "|---|---|---|"]
        for name in kind.__annotations__:
            field = kind.model_fields[name]
            default = "" if field.default in (None, "", ()) else f"`{field.default}`"
            lines.append(f"| `{field.alias or f'HEADRACE_{name.upper()}'}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference_page(), end="")
