"""Changes and lists of subscriptions that cannot be."""

from __future__ import annotations

import pytest

from headrace.consumers.relay.definition import Subscription
from headrace.consumers.subscription_list import page
from headrace.consumers.subscription_request import patched
from headrace.http.problems import Problem

SUBSCRIPTION = Subscription("a", "feed", "http://127.0.0.1/", "", "", "", "")


@pytest.mark.parametrize("depth", [300, 900])
def test_a_change_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(Problem) as refused:
        patched(SUBSCRIPTION, b'{"labels": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}")
    assert refused.value.status == 400


@pytest.mark.parametrize(("name", "words"), [("state", "active or paused or disabled"), ("mode", "webhook or pull")])
def test_a_list_is_not_by_what_no_subscription_can_be(name: str, words: str) -> None:
    with pytest.raises(Problem) as refused:
        page([], {name: "other"})
    assert refused.value.detail == f"{name}: is {words}."
