"""Keys are remembered while they matter, and no longer."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from headrace.http.problems import Problem, unavailable
from headrace.producers.idempotency import MAX_KEYS, IdempotencyKeys


def _status(keys: IdempotencyKeys, key: str, body: bytes) -> int:
    try:
        with keys.hold("feed", key, body):
            return 200
    except Problem as problem:
        return int(problem.status)


def test_a_key_stands_for_one_body_in_one_feed() -> None:
    keys = IdempotencyKeys()
    assert [_status(keys, "k", body) for body in (b"a", b"a", b"b")] == [200, 200, 422]
    with keys.hold("another feed", "k", b"b"):
        pass


def test_a_key_under_way_is_a_conflict() -> None:
    keys = IdempotencyKeys()
    with keys.hold("feed", "k", b"a"):
        assert _status(keys, "k", b"a") == 409
        assert _status(keys, "other", b"a") == 200
    assert _status(keys, "k", b"a") == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Problem(HTTPStatus.BAD_REQUEST, "bad"), 200),
        (ValueError(), 200),
        (unavailable("perhaps written"), 422),
        (asyncio.CancelledError(), 422),
    ],
)
def test_a_key_is_free_again_where_nothing_was_written(error: BaseException, status: int) -> None:
    keys = IdempotencyKeys()
    with pytest.raises(type(error)), keys.hold("feed", "k", b"a"):
        raise error
    assert _status(keys, "k", b"b") == status
    assert _status(keys, "k", b"a" if status == 422 else b"b") == 200


def test_only_the_latest_keys_are_remembered() -> None:
    keys = IdempotencyKeys()
    for number in range(MAX_KEYS + 1):
        assert _status(keys, f"k{number}", b"a") == 200
    assert _status(keys, "k0", b"b") == 200
    assert _status(keys, f"k{MAX_KEYS}", b"b") == 422
