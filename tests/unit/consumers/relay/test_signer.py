"""Signatures of the relay against the specification's vectors, its reference library, and `cryptography`."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from headrace.consumers.relay.signer import Signer
from headrace.consumers.relay.signing_key import Kind, SigningKey, new_signing_key, rotate
from headrace.signing import VerificationError, verify

NOW_S = 1_764_000_000
HMAC = SigningKey("hmac", base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), NOW_S)
ED25519 = SigningKey("ed25519", base64.b64decode("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="), NOW_S)


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (HMAC, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (ED25519, "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="),
    ],
    ids=["v1", "v1a"],
)
def test_the_vectors_of_the_specification_s_own_libraries_get_their_signatures(key: SigningKey, signature: str) -> None:
    body = b'{"test": 2432232314}'
    assert Signer([key]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, NOW_S) == signature


@given(body=st.text(st.characters(exclude_categories=["Cs"])), size=st.integers(24, 64))
def test_the_reference_library_signs_alike(body: str, size: int) -> None:
    key = SigningKey("hmac", bytes(range(size)), NOW_S)
    reference = Webhook(key.receiver_key).sign("evt_1", datetime.fromtimestamp(NOW_S, UTC), body)
    assert Signer([key]).sign("evt_1", NOW_S, body.encode(), NOW_S) == reference


def test_the_reference_library_trusts_what_the_relay_signs_during_a_rotation() -> None:
    now_s = int(time.time())
    keys: tuple[SigningKey, ...] = (new_signing_key("hmac", now_s - 10),)
    kinds: tuple[Kind, ...] = ("hmac", "ed25519", "hmac")
    for kind in kinds:
        keys = rotate(keys, kind, 3600, now_s)
    body = '{"city": "Reykjavík"}'.encode()
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": Signer(keys).sign("evt_1", now_s, body, now_s),
    }
    for key in keys:
        if key.kind == "hmac":
            assert Webhook(key.receiver_key).verify(body, headers) == {"city": "Reykjavík"}
        else:
            verify(key.receiver_key, "evt_1", str(now_s), headers["webhook-signature"], body)


@given(body=st.binary(), message_id=st.text("abc:.-_%", min_size=1))
def test_an_ed25519_signature_is_of_the_bytes_sent(body: bytes, message_id: str) -> None:
    version, signature = Signer([ED25519]).sign(message_id, NOW_S, body, NOW_S).split(",")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(ED25519.receiver_key.removeprefix("whpk_")))
    assert version == "v1a"
    public.verify(base64.b64decode(signature), f"{message_id}.{NOW_S}.".encode() + body)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), f"{message_id}.{NOW_S}.".encode() + body + b" ")


def test_signatures_come_newest_first_and_end_with_their_keys() -> None:
    first = (new_signing_key("hmac", NOW_S - 100),)
    second = rotate(first, "ed25519", 60, NOW_S)
    third = rotate(second, "hmac", 600, NOW_S + 10)
    signer = Signer([third[2], third[0], third[1]])

    def versions(now_s: float) -> list[str]:
        return [signature.split(",")[0] for signature in signer.sign("evt_1", NOW_S, b"{}", now_s).split(" ")]

    assert versions(NOW_S + 10) == ["v1", "v1a", "v1"]
    assert versions(NOW_S + 59.9) == ["v1", "v1a", "v1"]
    assert versions(NOW_S + 60) == ["v1", "v1a"]
    assert versions(NOW_S + 610) == ["v1"]
    verify(
        third[0].receiver_key,
        "evt_1",
        str(NOW_S),
        signer.sign("evt_1", NOW_S, b"{}", NOW_S + 10**9),
        b"{}",
        now_s=NOW_S,
    )


def test_a_key_that_was_replaced_without_overlap_signs_nothing_any_more() -> None:
    old = new_signing_key("hmac", NOW_S - 100)
    signature = Signer(rotate([old], "hmac", 0, NOW_S)).sign("evt_1", NOW_S, b"{}", NOW_S)
    with pytest.raises(VerificationError, match="no signature fits"):
        verify(old.receiver_key, "evt_1", str(NOW_S), signature, b"{}", now_s=NOW_S)


def test_without_a_current_key_there_is_no_signer() -> None:
    with pytest.raises(ValueError, match="no key is current"):
        Signer([])
    with pytest.raises(ValueError, match="no key is current"):
        Signer([SigningKey("hmac", bytes(32), NOW_S, NOW_S + 60)])
