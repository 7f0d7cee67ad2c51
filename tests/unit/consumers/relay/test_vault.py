from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.vault import CannotOpen, CannotSeal, Vault
from headrace.secret_keys import SecretKey
from headrace.settings import RelaySettings

OLD = SecretKey("old", bytes(range(32)))
NEW = SecretKey("new", bytes(range(32, 64)))
PLAIN = b'{"password":"correct horse"}'


@given(st.binary(), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_in_its_context(plain: bytes, context: str) -> None:
    vault = Vault([NEW])
    assert vault.open(vault.seal(plain, context), context) == plain


def test_a_sealed_secret_shows_nothing_and_is_another_text_each_time() -> None:
    vault = Vault([NEW])
    sealed = {vault.seal(PLAIN, "sub_1") for _ in range(100)}
    assert len(sealed) == 100
    for text in sealed:
        key_id, encoded = text.split(":")
        assert key_id == "new"
        assert b"horse" not in base64.urlsafe_b64decode(encoded)


def test_a_sealed_secret_cannot_be_moved_to_another_subscription() -> None:
    vault = Vault([NEW])
    with pytest.raises(CannotOpen, match="for something else"):
        vault.open(vault.seal(PLAIN, "sub_1"), "sub_2")


def test_a_sealed_secret_that_was_changed_anywhere_does_not_open() -> None:
    vault = Vault([NEW])
    key_id, encoded = vault.seal(PLAIN, "sub_1").split(":")
    raw = base64.urlsafe_b64decode(encoded)
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(CannotOpen):
            vault.open(f"{key_id}:{base64.urlsafe_b64encode(changed).decode()}", "sub_1")


@pytest.mark.parametrize("sealed", ["", "new", "new:", "new:!!!", "new:AAAA", "new:é", "whsec_c2VjcmV0"])
def test_what_is_not_sealed_is_called_so(sealed: str) -> None:
    with pytest.raises(CannotOpen, match="not a sealed secret"):
        Vault([NEW]).open(sealed, "sub_1")


def test_the_first_key_seals_and_every_key_opens() -> None:
    sealed = Vault([OLD]).seal(PLAIN, "sub_1")
    both = Vault([NEW, OLD])
    assert both.open(sealed, "sub_1") == PLAIN
    assert both.seal(PLAIN, "sub_1").startswith("new:")


def test_a_key_is_replaced_by_sealing_anew_what_needs_it() -> None:
    sealed = Vault([OLD]).seal(PLAIN, "sub_1")
    both = Vault([NEW, OLD])
    assert both.needs_renewal(sealed)
    renewed = both.seal(both.open(sealed, "sub_1"), "sub_1")
    assert not both.needs_renewal(renewed)
    assert Vault([NEW]).open(renewed, "sub_1") == PLAIN


def test_a_missing_key_is_named_and_the_secret_is_not() -> None:
    sealed = Vault([OLD]).seal(PLAIN, "sub_1")
    with pytest.raises(CannotOpen, match="'old', and the keys are new: add that one to HEADRACE_SECRET_KEYS") as caught:
        Vault([NEW]).open(sealed, "sub_1")
    assert sealed.split(":")[1] not in str(caught.value)


def test_another_key_under_the_same_id_is_seen() -> None:
    sealed = Vault([OLD]).seal(PLAIN, "sub_1")
    with pytest.raises(CannotOpen, match="another key under the same id"):
        Vault([SecretKey("old", NEW.material)]).open(sealed, "sub_1")


def test_without_a_key_nothing_is_stored_and_it_says_how_to_make_one() -> None:
    vault = Vault([])
    with pytest.raises(CannotSeal, match=r"HEADRACE_SECRET_KEYS.*headrace secrets new-key"):
        vault.seal(PLAIN, "sub_1")
    sealed = Vault([OLD]).seal(PLAIN, "sub_1")
    with pytest.raises(CannotOpen, match="'old', and there is no key"):
        vault.open(sealed, "sub_1")
    assert not vault.needs_renewal(sealed)


def test_the_vault_of_a_service_takes_the_keys_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [f"{key.id}:{base64.b64encode(key.material).decode()}" for key in (NEW, OLD)]
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", ",".join(entries))
    vault = Vault.of(RelaySettings())
    assert vault.open(Vault([OLD]).seal(PLAIN, "sub_1"), "sub_1") == PLAIN
    assert not vault.needs_renewal(Vault([NEW]).seal(PLAIN, "sub_1"))
    assert OLD.material.hex() not in repr(vars(vault))
