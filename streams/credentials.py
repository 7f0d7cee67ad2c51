"""Kafka's security settings as Faust wants them, from the same librdkafka properties that every other client has."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from headrace.errors import Misconfigured

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class UnsupportedSecurity(Misconfigured):
    """A security setting that Faust's Kafka client has no counterpart for; the message says which."""


def faust_credentials(kafka: Mapping[str, Any]) -> CredentialsT | None:
    """Credentials from librdkafka properties; None for plain connections. Raises `UnsupportedSecurity`."""
    protocol = str(kafka.get("security.protocol", "plaintext")).upper()
    if protocol == "PLAINTEXT":
        return None
    context = _ssl_context(kafka) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return SSLCredentials(context)
    if protocol not in ("SASL_SSL", "SASL_PLAINTEXT"):
        raise UnsupportedSecurity(f"HEADRACE_KAFKA_SECURITY_PROTOCOL={protocol}: no such protocol")
    mechanism = str(kafka.get("sasl.mechanisms", kafka.get("sasl.mechanism", "PLAIN"))).upper()
    if mechanism not in MECHANISMS:
        raise UnsupportedSecurity(
            f"HEADRACE_KAFKA_SASL_MECHANISM={mechanism}: the worker knows {', '.join(MECHANISMS)}"
        )
    return SASLCredentials(
        username=kafka.get("sasl.username"),
        password=kafka.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _ssl_context(kafka: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
    if (certificate := kafka.get("ssl.certificate.location")) is not None:
        context.load_cert_chain(certificate, kafka.get("ssl.key.location"), kafka.get("ssl.key.password"))
    if str(kafka.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif str(kafka.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        context.check_hostname = False
    return context
