"""TLS identities: what is given as PEM, and the contexts made of it."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.certificates import Authority

from headrace.consumers.relay.tls import Tls, context_of

AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("client")
OTHER = AUTHORITY.issue("other")
ENCIPHERED = (
    load_pem_private_key(CLIENT.key.encode(), None)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    .decode()
)
BROKEN = CLIENT.certificate.replace("M", "?", 3)


@pytest.mark.parametrize(
    ("certificate", "key", "ca", "why"),
    [
        (CLIENT.certificate, "", "", "given together"),
        ("", CLIENT.key, "", "given together"),
        ("no PEM", CLIENT.key, "", "client certificate is not a certificate in PEM"),
        (BROKEN, CLIENT.key, "", "client certificate is not a certificate in PEM"),
        (CLIENT.key, CLIENT.key, "", "client certificate is not a certificate in PEM"),
        (CLIENT.certificate, "no PEM", "", "private key is not a key in PEM"),
        (CLIENT.certificate, CLIENT.certificate, "", "private key is not a key in PEM"),
        (CLIENT.certificate, ENCIPHERED, "", "private key is enciphered"),
        (CLIENT.certificate, OTHER.key, "", "does not belong"),
        ("", "", "no PEM", "CA is not a certificate in PEM"),
        ("", "", "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n", "CA is not a certificate in PEM"),
        ("", "", "\u00e9" * 10, "CA is not a certificate in PEM"),
        ("", "", AUTHORITY.pem * 1000, "longer than 65536 bytes"),
    ],
)
def test_what_is_no_identity_is_refused_with_the_reason(certificate: str, key: str, ca: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Tls(certificate, key, ca)


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(Tls(CLIENT.certificate, CLIENT.key))


@pytest.mark.parametrize("identity", [None, Tls(), Tls(CLIENT.certificate, CLIENT.key), Tls(ca=AUTHORITY.pem)])
def test_certificate_and_name_are_verified_whatever_the_identity(identity: Tls | None) -> None:
    context = context_of(identity)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_an_authority_of_its_own_takes_the_place_of_the_systems() -> None:
    assert [c["subject"] for c in context_of(Tls(ca=AUTHORITY.pem)).get_ca_certs()] == [
        ((("commonName", "an authority"),),)
    ]


def test_a_context_is_made_once_for_equal_identities() -> None:
    assert context_of(Tls(CLIENT.certificate, CLIENT.key)) is context_of(Tls(CLIENT.certificate, CLIENT.key))
    assert context_of(Tls(CLIENT.certificate, CLIENT.key)) is not context_of(Tls(OTHER.certificate, OTHER.key))


def test_the_key_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh = AUTHORITY.issue("fresh")
    context_of(Tls(fresh.certificate, fresh.key))
    assert list(tmp_path.iterdir()) == []
