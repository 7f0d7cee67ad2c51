from __future__ import annotations

import base64

import pytest

from headrace.consumers.relay.signing_key import Kind, SigningKey, current, new_signing_key, pack, rotate, unpack
from headrace.signing import check_key

NOW_S = 1_764_000_000.0
DAY_S = 86_400


@pytest.mark.parametrize(("kind", "prefix"), [("hmac", "whsec_"), ("ed25519", "whpk_")])
def test_a_receiver_is_given_what_it_verifies_with_and_no_more(kind: Kind, prefix: str) -> None:
    key = new_signing_key(kind, NOW_S)
    assert key.receiver_key.startswith(prefix)
    check_key(key.receiver_key)
    secret = base64.b64encode(key.material).decode()
    assert (secret in key.receiver_key) == (kind == "hmac")


def test_new_keys_are_never_the_same() -> None:
    assert len({new_signing_key("hmac", NOW_S).material for _ in range(100)}) == 100


def test_a_key_is_not_shown_by_accident() -> None:
    key = new_signing_key("hmac", NOW_S)
    shown = f"{key} {key!r} {[key]}"
    assert "hmac" in shown
    for secret in (repr(key.material), key.receiver_key.removeprefix("whsec_"), key.material.hex()):
        assert secret not in shown


def test_a_new_key_is_current_and_the_former_one_lives_for_the_overlap() -> None:
    old = new_signing_key("hmac", NOW_S - DAY_S)
    new, former = rotate([old], "ed25519", DAY_S, NOW_S)
    assert (new.kind, new.created_s, new.expires_s) == ("ed25519", NOW_S, None)
    assert former == SigningKey("hmac", old.material, old.created_s, NOW_S + DAY_S)
    assert current([former, new]) is new


def test_a_rotation_shortens_the_life_of_older_keys_and_never_prolongs_it() -> None:
    keys = rotate([new_signing_key("hmac", NOW_S - 10)], "hmac", DAY_S, NOW_S)
    longer = rotate(keys, "hmac", 7 * DAY_S, NOW_S + 1)
    assert [key.expires_s for key in longer] == [None, NOW_S + 1 + 7 * DAY_S, NOW_S + DAY_S]
    shorter = rotate(longer, "hmac", 60, NOW_S + 2)
    assert [key.expires_s for key in shorter] == [None, NOW_S + 62, NOW_S + 62, NOW_S + 62]


def test_expired_keys_are_dropped() -> None:
    keys = rotate([new_signing_key("hmac", NOW_S - 10)], "hmac", 60, NOW_S)
    assert len(rotate(keys, "hmac", DAY_S, NOW_S + 59)) == 3
    assert len(rotate(keys, "hmac", DAY_S, NOW_S + 60)) == 2
    assert len(rotate(keys, "hmac", 0, NOW_S)) == 1


def test_at_most_ten_old_keys_are_kept_and_the_oldest_go_first() -> None:
    keys: tuple[SigningKey, ...] = (new_signing_key("hmac", NOW_S),)
    made = [keys[0]]
    for second in range(1, 15):
        keys = rotate(keys, "hmac", DAY_S, NOW_S + second)
        made.insert(0, keys[0])
    assert [key.material for key in keys] == [key.material for key in made[:11]]


@pytest.mark.parametrize("overlap_s", [-1, 7 * DAY_S + 1, float("nan")])
def test_an_overlap_beyond_seven_days_is_refused(overlap_s: float) -> None:
    with pytest.raises(ValueError, match="0 to 604800 s"):
        rotate([new_signing_key("hmac", NOW_S)], "hmac", overlap_s, NOW_S)


def test_keys_are_packed_and_unpacked_as_they_are() -> None:
    keys = rotate([new_signing_key("hmac", NOW_S - 10)], "ed25519", DAY_S, NOW_S)
    assert unpack(pack(keys)) == keys


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"[1]",
        b"{}x",
        b'[{"kind":"rot13","material":"c2VjcmV0c2VjcmV0","created_s":1,"expires_s":null}]',
        b'[{"kind":"hmac","material":"c2VjcmV0c2VjcmV0"}]',
        b'[{"kind":"hmac","material":"c2VjcmV0c2VjcmV0!","created_s":1,"expires_s":null}]',
    ],
)
def test_what_is_not_packed_keys_is_refused_without_being_shown(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not packed signing keys") as caught:
        unpack(packed)
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__suppress_context__
