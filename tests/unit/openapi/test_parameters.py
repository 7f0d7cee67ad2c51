"""The parameters that are described are those that the code reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import MultiDict

from headrace.consumers import follower_list, read_request, subscription_list
from headrace.consumers.operations import events, feeds, subscriptions
from headrace.http.problems import Problem
from headrace.openapi.operation import Operation
from headrace.settings import ServeSettings


class Asked(MultiDict[str]):
    """A query that notes what it is asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.names: set[str] = set()

    def get(self, key: str, *default: Any) -> Any:
        self.names.add(key)
        return super().get(key, *default)

    def getall(self, key: str, *default: Any) -> Any:
        self.names.add(key)
        return super().getall(key, *default)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    query = Asked()
    monkeypatch.setattr(web.Request, "query", query)
    return query


def described(operations: Iterable[Operation], name: str) -> set[str]:
    (operation,) = (operation for operation in operations if operation.name == name)
    return {parameter.name for parameter in operation.parameters if parameter.place == "query"}


def test_of_reading(asked: Asked) -> None:
    settings = ServeSettings()
    read_request.parse(make_mocked_request("GET", "/"), settings)
    assert described(events.operations(settings), "read_events") == asked.names


def test_of_the_list_of_followers(asked: Asked) -> None:
    asked.add("feed", "any")
    follower_list.answer(make_mocked_request("GET", "/"), [])
    # The feed is asked for at each follower, and there is none.
    assert described(feeds.OPERATIONS, "list_followers") == asked.names | {"feed"}


def test_of_the_list_of_subscriptions() -> None:
    with pytest.raises(Problem) as refused:
        subscription_list.page([], {"other": ""})
    names = described(subscriptions.OPERATIONS, "list_subscriptions")
    assert refused.value.detail.endswith(
        f"there are {', '.join(('limit', 'cursor', *subscription_list.FIELDS))}, label.<name>."
    )
    assert names == {"limit", "cursor", *subscription_list.FIELDS}
