"""Signatures against the reference library of Standard Webhooks."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from headrace.signing import VerificationError, check_key, generate_secret, header_id, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = "whpk_" + base64.b64encode(PRIVATE_KEY.public_key().public_bytes_raw()).decode()
NOW_S = 0


def of_bytes(prefix: str, count: int) -> str:
    """A key of so many bytes."""
    return prefix + base64.b64encode(bytes(range(count))).decode()


@pytest.fixture(scope="module", autouse=True)
def now() -> None:
    """The time at which these tests run: they may be collected long before."""
    global NOW_S
    NOW_S = int(time.time())


def headers(message_id: str, signature: str) -> dict[str, str]:
    return {"webhook-id": message_id, "webhook-timestamp": str(NOW_S), "webhook-signature": signature}


def test_the_example_of_the_specification_gets_its_signature() -> None:
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@given(
    body=st.text(st.characters(exclude_categories=["Cs"])), event_id=st.text(st.characters(exclude_categories=["Cs"]))
)
def test_the_reference_library_signs_alike_and_trusts_what_we_sign(body: str, event_id: str) -> None:
    message_id = header_id(event_id)
    signature = sign(SECRET, message_id, NOW_S, body.encode())
    reference = Webhook(SECRET)
    assert reference.sign(message_id, datetime.fromtimestamp(NOW_S, UTC), body) == signature
    verify(
        SECRET,
        message_id,
        str(NOW_S),
        reference.sign(message_id, datetime.fromtimestamp(NOW_S, UTC), body),
        body.encode(),
    )


@pytest.mark.parametrize("body", ['{"city": "Reykjavík", "note": "✈ 東京"}', '{"a": 1}', "[]"])
def test_the_reference_library_verifies_json_bodies(body: str) -> None:
    signature = sign(SECRET, "evt_1", NOW_S, body.encode())
    Webhook(SECRET).verify(body.encode(), headers("evt_1", signature))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.encode() + b" ", headers("evt_1", signature))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_in_a_header_is_printable_ascii_and_two_ids_stay_two(event_id: str) -> None:
    value = header_id(event_id)
    assert all("!" <= c <= "~" for c in value)
    assert unquote(value) == event_id


def test_a_line_break_in_an_id_cannot_start_another_header() -> None:
    assert header_id("a\r\nx-evil: 1") == "a%0D%0Ax-evil:%201"


def test_an_ordinary_id_is_left_as_it_is() -> None:
    assert header_id("flights.departures:3:184467") == "flights.departures:3:184467"


def test_another_secret_is_not_trusted() -> None:
    signature = sign(generate_secret(), "evt_1", NOW_S, b"{}")
    with pytest.raises(VerificationError, match="no signature fits"):
        verify(SECRET, "evt_1", str(NOW_S), signature, b"{}")


def test_a_changed_id_body_or_time_is_not_trusted() -> None:
    signature = sign(SECRET, "evt_1", NOW_S, b"{}")
    verify(SECRET, "evt_1", str(NOW_S), signature, b"{}")
    for changed in (("evt_2", str(NOW_S), b"{}"), ("evt_1", str(NOW_S + 1), b"{}"), ("evt_1", str(NOW_S), b"[]")):
        with pytest.raises(VerificationError, match="no signature fits"):
            verify(SECRET, changed[0], changed[1], signature, changed[2])


@pytest.mark.parametrize("off_s", [-301, 301, -(10**6)])
def test_a_message_of_another_time_is_not_trusted(off_s: int) -> None:
    signature = sign(SECRET, "evt_1", NOW_S + off_s, b"{}")
    with pytest.raises(VerificationError, match="s old"):
        verify(SECRET, "evt_1", str(NOW_S + off_s), signature, b"{}", now_s=NOW_S)


@pytest.mark.parametrize("off_s", [-300, 0, 300])
def test_five_minutes_are_tolerated(off_s: int) -> None:
    signature = sign(SECRET, "evt_1", NOW_S + off_s, b"{}")
    verify(SECRET, "evt_1", str(NOW_S + off_s), signature, b"{}", now_s=NOW_S)


@pytest.mark.parametrize("timestamp", ["", "now", "-5", "1.5", "١٢٣", "9" * 400, "9" * 5000])
def test_a_timestamp_that_is_none_is_refused_as_such(timestamp: str) -> None:
    with pytest.raises(VerificationError, match="not a number of seconds"):
        verify(SECRET, "evt_1", timestamp, "v1,x", b"{}")


def test_one_of_several_signatures_is_enough() -> None:
    ours = sign(SECRET, "evt_1", NOW_S, b"{}")
    other = sign(generate_secret(), "evt_1", NOW_S, b"{}")
    for value in (f"{other} {ours}", f"{ours} {other}", f"v1a,abc {ours}", f"v2 {ours}"):
        verify(SECRET, "evt_1", str(NOW_S), value, b"{}")
    with pytest.raises(VerificationError):
        verify(SECRET, "evt_1", str(NOW_S), f"{other} v1a,abc", b"{}")


@pytest.mark.parametrize("value", ["", " ", "v1", "v1,", "v1,\udcff\udcfe", "v1,é", ",,,"])
def test_a_signature_that_is_none_is_not_trusted(value: str) -> None:
    with pytest.raises(VerificationError, match="no signature fits"):
        verify(SECRET, "evt_1", str(NOW_S), value, b"{}")


def test_an_id_that_is_not_utf8_is_not_trusted() -> None:
    with pytest.raises(VerificationError, match="no signature fits"):
        verify(SECRET, "evt_\udcff", str(NOW_S), sign(SECRET, "evt_?", NOW_S, b"{}"), b"{}")


@pytest.mark.parametrize(
    "secret", ["whsec_!!!", "", "whsec_", of_bytes("whsec_", 23), of_bytes("whsec_", 65), of_bytes("", 32)]
)
def test_a_secret_that_is_none_says_so_and_is_not_repeated(secret: str) -> None:
    for use in (lambda: sign(secret, "evt_1", NOW_S, b"{}"), lambda: check_key(secret)):
        with pytest.raises(ValueError, match="whsec_ and base64 of 24 to 64 bytes") as caught:
            use()
        assert secret in ("", "whsec_") or secret not in str(caught.value)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_sign_as_in_the_reference_library(size: int) -> None:
    secret = of_bytes("whsec_", size)
    signature = sign(secret, "evt_1", NOW_S, b"{}")
    assert Webhook(secret).sign("evt_1", datetime.fromtimestamp(NOW_S, UTC), "{}") == signature
    verify(secret, "evt_1", str(NOW_S), signature, b"{}")


@pytest.mark.parametrize("key", ["whpk_", "whpk_!!!", of_bytes("whpk_", 31), of_bytes("whpk_", 33)])
def test_a_public_key_that_is_none_says_so(key: str) -> None:
    with pytest.raises(ValueError, match="whpk_ and base64 of 32 bytes"):
        check_key(key)


def test_the_key_of_the_sender_is_not_asked_of_a_receiver() -> None:
    key = of_bytes("whsk_", 32)
    with pytest.raises(ValueError, match="whpk_ key that belongs to it") as caught:
        check_key(key)
    assert key.removeprefix("whsk_") not in str(caught.value)


def ed25519(message_id: str, timestamp_s: int, body: bytes) -> str:
    signature = PRIVATE_KEY.sign(f"{message_id}.{timestamp_s}.".encode() + body)
    return "v1a," + base64.b64encode(signature).decode()


def test_a_public_key_verifies_what_its_secret_key_has_signed() -> None:
    verify(PUBLIC_KEY, "evt_1", str(NOW_S), ed25519("evt_1", NOW_S, b"\xff{}"), b"\xff{}")


def test_a_public_key_does_not_trust_a_changed_message() -> None:
    signature = ed25519("evt_1", NOW_S, b"{}")
    for changed in (("evt_2", str(NOW_S), b"{}"), ("evt_1", str(NOW_S + 1), b"{}"), ("evt_1", str(NOW_S), b"[]")):
        with pytest.raises(VerificationError, match="no signature fits"):
            verify(PUBLIC_KEY, changed[0], changed[1], signature, changed[2])
    with pytest.raises(VerificationError, match="s old"):
        verify(PUBLIC_KEY, "evt_1", str(NOW_S), signature, b"{}", now_s=NOW_S + 301)


def test_a_signature_of_another_version_is_not_taken_for_one() -> None:
    v1, v1a = sign(SECRET, "evt_1", NOW_S, b"{}"), ed25519("evt_1", NOW_S, b"{}")
    verify(PUBLIC_KEY, "evt_1", str(NOW_S), f"{v1} {v1a}", b"{}")
    verify(SECRET, "evt_1", str(NOW_S), f"{v1a} {v1}", b"{}")
    with pytest.raises(VerificationError, match="none is of the version v1a"):
        verify(PUBLIC_KEY, "evt_1", str(NOW_S), v1, b"{}")
    with pytest.raises(VerificationError, match="none is of the version v1,"):
        verify(SECRET, "evt_1", str(NOW_S), v1a, b"{}")
    # Right bytes under the wrong name.
    with pytest.raises(VerificationError, match="no signature fits"):
        verify(PUBLIC_KEY, "evt_1", str(NOW_S), f"{v1a.replace('v1a', 'v1')} v1a,{v1[3:]}", b"{}")


def test_secrets_are_long_and_never_the_same() -> None:
    secrets = {generate_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(Webhook(secret)._whsecret) == 32 for secret in secrets)
