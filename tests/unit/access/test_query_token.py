"""Browser tokens and the tokens between services: signed, short-lived, and each for its own purpose."""

from __future__ import annotations

import base64

import pytest

from headrace.access.credential import Credential, Denied
from headrace.access.internal_token import LIFE_S, InternalTokens
from headrace.access.query_token import PREFIX, QueryTokens
from headrace.access.scopes import Action, parse_scopes
from headrace.secret_keys import SecretKey

OLD, NEW, FOREIGN = SecretKey("old", b"o" * 32), SecretKey("new", b"n" * 32), SecretKey("old", b"f" * 32)
READ = parse_scopes(["read:flights.*"])
BY = Credential("key:abc", parse_scopes(["admin:*"]), key_id="abc")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_says_whose_it_is_and_may_do_only_what_it_was_made_for(clock: Clock) -> None:
    tokens = QueryTokens([NEW], clock)
    text, expires_s = tokens.make(BY, READ, 60)
    credential = tokens.verify(text)
    assert (credential.principal, credential.key_id, credential.expires_s) == ("key:abc", "abc", expires_s)
    assert credential.may(Action.READ, "flights.planes")
    assert not credential.may(Action.READ, "orders")
    assert not credential.may(Action.PUBLISH, "flights.planes")
    assert not credential.may_delegate


def test_a_token_ends_when_its_time_is_over(clock: Clock) -> None:
    tokens = QueryTokens([NEW], clock)
    text, _ = tokens.make(BY, READ, 60)
    clock.now_s += 59
    tokens.verify(text)
    clock.now_s += 1
    with pytest.raises(Denied, match="expired"):
        tokens.verify(text)


def test_a_token_never_outlives_what_it_was_made_with(clock: Clock) -> None:
    by = Credential("jwt:me", READ, expires_s=clock.now_s + 5)
    assert QueryTokens([NEW], clock).make(by, READ, 60)[1] == clock.now_s + 5


def test_after_a_change_of_keys_tokens_of_the_old_one_hold_until_it_is_taken_out(clock: Clock) -> None:
    text, _ = QueryTokens([OLD], clock).make(BY, READ, 60)
    QueryTokens([NEW, OLD], clock).verify(text)
    for keys in ([NEW], [FOREIGN]):
        with pytest.raises(Denied, match="none of this cluster"):
            QueryTokens(keys, clock).verify(text)


def test_a_token_that_was_changed_is_refused(clock: Clock) -> None:
    tokens = QueryTokens([NEW], clock)
    text, _ = tokens.make(BY, READ, 60)
    key_id, payload, mac = text.removeprefix(PREFIX).split(".")
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    forged = base64.urlsafe_b64encode(raw.replace(b"flights.*", b"flights*")).rstrip(b"=").decode()
    assert forged != payload
    for changed in (f"{key_id}.{forged}.{mac}", f"{key_id}.{payload}.", f"{key_id}.{payload}", "", "a.b.c", "é.b.c"):
        with pytest.raises(Denied):
            tokens.verify(PREFIX + changed)


def test_a_browser_token_is_none_between_services_and_the_other_way_round(clock: Clock) -> None:
    tokens, internal = QueryTokens([NEW], clock), InternalTokens([NEW], clock)
    text, _ = tokens.make(BY, READ, 60)
    own = internal.headers()["Authorization"].removeprefix("Bearer ")
    assert internal.holds(own)
    assert not internal.holds(text)
    assert not internal.holds("hri_" + text.removeprefix(PREFIX))
    with pytest.raises(Denied):
        tokens.verify(PREFIX + own.removeprefix("hri_"))


def test_a_token_between_services_holds_for_a_minute(clock: Clock) -> None:
    internal = InternalTokens([NEW], clock)
    own = internal.headers()["Authorization"].removeprefix("Bearer ")
    clock.now_s += LIFE_S - 1
    assert internal.holds(own)
    clock.now_s += 1
    assert not internal.holds(own)
