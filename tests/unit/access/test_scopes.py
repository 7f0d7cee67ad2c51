"""Scopes: what a pattern allows, and what it covers."""

from __future__ import annotations

import pytest

from headrace.access.scopes import Action, InvalidScope, Scope


@pytest.mark.parametrize(
    ("scope", "action", "feed"),
    [
        ("read:flights.*", Action.READ, "flights.enriched"),
        ("read:flights.*", Action.READ, "flights.enriched.dead"),
        ("read:*", Action.READ, "orders"),
        ("read:*.dead", Action.READ, "orders.dead"),
        ("publish:orders", Action.PUBLISH, "orders"),
        ("admin:*", Action.PUBLISH, "orders"),
        ("admin:flights.*", Action.SUBSCRIBE, "flights.planes"),
    ],
)
def test_a_scope_allows_its_action_on_feeds_that_fit(scope: str, action: Action, feed: str) -> None:
    assert Scope.parse(scope).allows(action, feed)


@pytest.mark.parametrize(
    ("scope", "action", "feed"),
    [
        ("read:flights.*", Action.READ, "flights"),
        ("read:flights.*", Action.READ, "flightsXenriched"),
        ("read:flights.*", Action.READ, "my.flights.enriched"),
        ("read:orders", Action.READ, "orders\n"),
        ("read:orders", Action.READ, "orders.dead"),
        ("read:orders", Action.READ, "ORDERS"),
        ("read:*", Action.PUBLISH, "orders"),
        ("subscribe:*", Action.READ, "orders"),
        ("publish:*", Action.ADMIN, "orders"),
        ("admin:flights.*", Action.READ, "orders"),
    ],
)
def test_a_scope_allows_nothing_else(scope: str, action: Action, feed: str) -> None:
    assert not Scope.parse(scope).allows(action, feed)


@pytest.mark.parametrize(
    ("scope", "other", "covered"),
    [
        ("read:*", "read:flights.*", True),
        ("read:flights.*", "read:flights.*", True),
        ("read:flights.*", "read:flights.e*d", True),
        ("admin:*", "read:*", True),
        ("read:flights.*", "read:*", False),
        ("read:flights.e*", "read:flights.*", False),
        ("read:*.dead", "read:*", False),
        ("read:*", "subscribe:orders", False),
    ],
)
def test_a_scope_covers_another_only_where_it_allows_all_of_it(scope: str, other: str, covered: bool) -> None:
    assert Scope.parse(scope).covers(Scope.parse(other)) is covered


@pytest.mark.parametrize("text", ["", "read", "read:", "write:orders", "read:a b", 'read:"', "read:a\n", "read:****"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidScope, match="is no scope"):
        Scope.parse(text)
