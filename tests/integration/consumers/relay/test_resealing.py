"""A key that encrypts secrets is replaced, and the old one is needed no more."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from integration.cli.conftest import headrace
from pydantic import SecretStr

from headrace.consumers.relay.credentials import Bearer, Credentials
from headrace.consumers.relay.definition import TOPICS, Subscription
from headrace.consumers.relay.definitions import Change, Definitions
from headrace.consumers.relay.secrets import open_credentials, open_keys, seal_credentials, seal_keys
from headrace.consumers.relay.signing_key import new_signing_key
from headrace.consumers.relay.vault import CannotOpen, Vault
from headrace.kafka.admin import admin_client
from headrace.kafka.topics import ensure_topics
from headrace.secret_keys import new_secret_key, secret_keys
from headrace.settings import SecretsSettings

if TYPE_CHECKING:
    from headrace.broker import EmbeddedBroker


def vault(*keys: str) -> Vault:
    return Vault(secret_keys(SecretsSettings(secret_keys=SecretStr(",".join(keys)))))


@contextlib.asynccontextmanager
async def definitions(broker: EmbeddedBroker) -> AsyncIterator[Definitions]:
    kafka = {"bootstrap.servers": broker.bootstrap_servers}
    admin = admin_client(kafka)
    await ensure_topics(admin, TOPICS, replication_factor=1)
    opened = Definitions(kafka, admin)
    await opened.load()
    try:
        yield opened
    finally:
        await opened.close()


def always(subscription: Subscription | None) -> Change:
    return lambda _: subscription


async def test_after_it_the_new_key_opens_all_and_nothing_else_has_changed(own_broker: EmbeddedBroker) -> None:
    old, new = new_secret_key(), new_secret_key()
    keys = (new_signing_key("hmac", 0.0),)
    credentials = Credentials(auth=Bearer(type="bearer", token=SecretStr("let me in")))
    sealing = vault(old)
    made = {
        name: Subscription(
            id=name,
            feed="f",
            url="http://127.0.0.1:1/",
            sealed_keys=seal_keys(sealing, name, keys),
            sealed_credentials=seal_credentials(sealing, name, given),
            start="-1",
            created="2026-01-01T00:00:00.000Z",
            updated="2026-01-01T00:00:00.000Z",
        )
        for name, given in {"with": credentials, "without": Credentials()}.items()
    }
    async with definitions(own_broker) as kept:
        for name, subscription in made.items():
            await kept.change(name, always(subscription))
        with pytest.raises(CannotOpen):
            open_keys(vault(new), kept["with"])

        kafka = {"HEADRACE_BOOTSTRAP_SERVERS": own_broker.bootstrap_servers}
        done = await headrace("", "secrets", "reseal", HEADRACE_SECRET_KEYS=f"{new},{old}", **kafka)
        assert (done.status, done.out) == (0, b"2 subscriptions were sealed anew.\n"), done.err
        again = await headrace("", "secrets", "reseal", HEADRACE_SECRET_KEYS=f"{new},{old}", **kafka)
        assert again.out == b"0 subscriptions were sealed anew.\n"
        await kept.catch_up()
        for name, subscription in made.items():
            found = kept[name]
            assert open_keys(vault(new), found) == keys
            assert open_credentials(vault(new), found) == (credentials if name == "with" else Credentials())
            assert subscription == replace(
                found,
                sealed_keys=subscription.sealed_keys,
                sealed_credentials=subscription.sealed_credentials,
                version=1,
                updated=subscription.updated,
            )

        neither = await headrace("", "secrets", "reseal", HEADRACE_SECRET_KEYS=new_secret_key(), **kafka)
        assert (neither.status, neither.out) == (1, b"0 subscriptions were sealed anew.\n")
        assert "with was not: it is sealed with the key" in neither.err
        for name in made:
            await kept.change(name, always(None))
