"""TLS towards endpoints: version 1.2 at least, the certificate and the name in it verified, always."""

from __future__ import annotations

import functools
import secrets
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

MAX_PEM_BYTES = 64 * 1024
CONTEXTS = 256


@dataclass(frozen=True, slots=True)
class Tls:
    """Who we are to an endpoint and whom we trust there, all PEM. Raises ValueError with what is wrong.

    `certificate` is the client's, with the intermediate ones behind it, and `key` its private key: both or neither.
    `ca` takes the place of the system's authorities.
    """

    certificate: str = ""
    key: str = field(default="", repr=False)
    ca: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("a client certificate and its private key are given together, or neither")
        if self.certificate:
            _match(_certificates(self.certificate, "client certificate"), _key(self.key))
        if self.ca:
            _certificates(self.ca, "CA")


@functools.lru_cache(CONTEXTS)
def context_of(identity: Tls | None) -> ssl.SSLContext:
    """The context of an identity; without one, of a client that trusts the system's authorities. Reads files.

    Raises ValueError for a client certificate that OpenSSL finds too weak.
    """
    if identity is None or not identity.ca:
        context = ssl.create_default_context()
    else:
        certificates = _certificates(identity.ca, "CA")
        context = ssl.create_default_context(
            cadata="".join(c.public_bytes(Encoding.PEM).decode("ascii") for c in certificates)
        )
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority will do
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # a subject is no host's name, RFC 9525
    if identity is not None and identity.certificate:
        _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: Tls) -> None:
    """Let a context show the client's certificate. OpenSSL takes it from files only: the key is enciphered there."""
    password = secrets.token_bytes(32)
    enciphered = _key(identity.key).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.hex().encode())
    )
    certificates = _certificates(identity.certificate, "client certificate")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "client.pem"
        path.write_bytes(b"".join([*(c.public_bytes(Encoding.PEM) for c in certificates), enciphered]))
        try:
            context.load_cert_chain(path, password=password.hex())
        except ssl.SSLError as error:
            raise ValueError(f"the client certificate can't be used: {error.reason or error}") from None


def _certificates(pem: str, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_bounded(pem, what))
    except ValueError as error:
        raise ValueError(f"the {what} is not a certificate in PEM: {error}") from None


def _key(pem: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_bounded(pem, "private key"), None)
    except TypeError:
        raise ValueError("the private key is enciphered: give it without a password") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the private key is not a key in PEM: {str(error).splitlines()[0]}") from None


def _bounded(pem: str, what: str) -> bytes:
    if len(pem) > MAX_PEM_BYTES:
        raise ValueError(f"the {what} is longer than {MAX_PEM_BYTES} bytes")
    return pem.encode("utf-8")


def _match(certificates: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    def der(public_key: object) -> bytes:
        found: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
        return found

    if der(certificates[0].public_key()) != der(key.public_key()):
        raise ValueError("the private key does not belong to the first client certificate")
