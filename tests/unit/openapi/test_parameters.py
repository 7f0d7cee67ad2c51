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
from headrace.producers import stream_request
from headrace.producers.operations import streams
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


def described(operations: Iterable[Operation], name: str, place: str = "query") -> set[str]:
    (operation,) = (operation for operation in operations if operation.name == name)
    return {parameter.name for parameter in operation.parameters if parameter.place == place}


def test_of_reading(asked: Asked) -> None:
    settings = ServeSettings()
    read_request.parse(make_mocked_request("GET", "/"), settings)
    assert described(events.operations(settings), "read_events") == asked.names


@pytest.fixture
def asked_headers(monkeypatch: pytest.MonkeyPatch) -> Asked:
    headers = Asked()
    monkeypatch.setattr(web.Request, "headers", headers)
    return headers


def test_of_making_a_stream(asked: Asked, asked_headers: Asked) -> None:
    stream_request.wanted_stream(make_mocked_request("PUT", "/"), "chat-1")
    assert described(streams.OPERATIONS, "create_stream") == asked.names
    # Content-Type is no parameter in OpenAPI; the other is read with the body.
    names = described(streams.OPERATIONS, "create_stream", "header") | {"Content-Type"}
    assert names == asked_headers.names | {"Content-Encoding"}


def test_of_appending_to_a_stream(asked_headers: Asked) -> None:
    request = make_mocked_request("POST", "/")
    for read in (stream_request.closes, stream_request.stream_seq, stream_request.producer_seq):
        read(request)
    others = {"Idempotency-Key", "Content-Encoding"}
    assert described(streams.OPERATIONS, "append_to_stream", "header") == asked_headers.names | others


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
