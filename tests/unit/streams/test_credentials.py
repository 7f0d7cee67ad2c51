"""librdkafka's security settings as Faust's."""

from __future__ import annotations

import ssl

import pytest
from faust.auth import SASLCredentials, SSLCredentials

from headrace.streams.credentials import UnsupportedSecurity, faust_credentials


def test_a_plain_connection_has_none() -> None:
    assert faust_credentials({"bootstrap.servers": "x:9092"}) is None
    assert faust_credentials({"security.protocol": "PLAINTEXT"}) is None


def test_user_and_password_go_over_tls() -> None:
    found = faust_credentials(
        {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "me",
            "sasl.password": "secret",
        }
    )
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password, found.mechanism.value) == ("me", "secret", "SCRAM-SHA-512")
    assert found.ssl_context is not None
    assert found.ssl_context.verify_mode is ssl.CERT_REQUIRED


def test_without_tls_there_is_no_context() -> None:
    found = faust_credentials({"security.protocol": "SASL_PLAINTEXT", "sasl.username": "me", "sasl.password": "x"})
    assert isinstance(found, SASLCredentials)
    assert found.ssl_context is None


def test_tls_alone_checks_the_brokers_name_unless_told_otherwise() -> None:
    found = faust_credentials({"security.protocol": "SSL"})
    assert isinstance(found, SSLCredentials)
    assert found.context.check_hostname
    found = faust_credentials({"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "none"})
    assert isinstance(found, SSLCredentials)
    assert not found.context.check_hostname
    assert found.context.verify_mode is ssl.CERT_REQUIRED


def test_what_faust_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedSecurity, match="OAUTHBEARER"):
        faust_credentials({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"})
