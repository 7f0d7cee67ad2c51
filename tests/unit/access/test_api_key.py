"""API keys: their form, and what is kept of them."""

from __future__ import annotations

import pytest

from headrace.access.api_key import ApiKey, digest, new_key_text, split
from headrace.access.key_table import admin_key
from headrace.access.quotas import Quotas
from headrace.access.scopes import Action, parse_scopes
from headrace.errors import Misconfigured
from headrace.settings import GatewaySettings


def made() -> tuple[ApiKey, str]:
    text = new_key_text()
    parts = split(text)
    assert parts is not None
    scopes = parse_scopes(["read:flights.*", "publish:orders"])
    return ApiKey(parts[0], digest(parts[1]), "shop", scopes, 1.0, "me@here", 2.0, Quotas(events_per_s=5)), parts[1]


def test_a_key_is_read_as_it_was_written() -> None:
    key, _ = made()
    assert ApiKey.from_bytes(key.to_bytes()) == key


def test_neither_the_record_nor_the_text_of_a_key_holds_its_secret() -> None:
    key, secret = made()
    assert secret not in key.to_bytes().decode()
    assert secret not in repr(key)
    assert key.sha256 not in repr(key)


def test_a_key_opens_with_its_own_secret_only() -> None:
    key, secret = made()
    _, other = made()
    assert key.opens_with(secret)
    assert not key.opens_with(other)
    assert not key.opens_with("")


def test_keys_differ_and_their_secret_has_256_bits() -> None:
    texts = {new_key_text() for _ in range(100)}
    assert len(texts) == 100
    assert all(len(text) == len("hr_") + 12 + 1 + 43 for text in texts)


@pytest.mark.parametrize("text", ["", "hr_", "hr_abc_def", "hr_abcdefghijkl_short", "xx_abcdefghijkl_" + "a" * 43])
def test_what_has_another_form_is_none(text: str) -> None:
    assert split(text) is None


def test_the_key_of_the_settings_may_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    text = new_key_text()
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", text)
    settings = GatewaySettings()
    key = admin_key(settings)
    assert key is not None
    assert key.opens_with(text[16:])
    assert all(any(scope.allows(action, "any.feed") for scope in key.scopes) for action in Action)
    assert text[16:] not in repr(settings)


def test_a_key_of_the_settings_that_is_none_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", "hr_secret-password")
    with pytest.raises(Misconfigured, match="headrace keys generate") as error:
        admin_key(GatewaySettings())
    assert "secret-password" not in str(error.value)
