from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.http.problems import Problem
from headrace.producers.messages import messages_of

JSON = "application/json"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def of(body: bytes, media_type: str = JSON) -> list[bytes]:
    return messages_of(media_type, body, 1000)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"", []),
        (b" [ ] ", []),
        (b"1", [b"1"]),
        (b'\n{"a":\r\n [1]}\n', [b'{"a":   [1]}']),
        (b"[1,2 , 3]", [b"1", b"2", b"3"]),
        (b"[[1,2],[3]]", [b"[1,2]", b"[3]"]),
        (b"[[[1]]]", [b"[[1]]"]),
        (b'["],[", {"]": ","}]', [b'"],["', b'{"]": ","}']),
        (b"[1.00, 1E5, 12345678901234567890123, -0]", [b"1.00", b"1E5", b"12345678901234567890123", b"-0"]),
        (b'["\\u00e9", "\xc3\xa9"]', [b'"\\u00e9"', b'"\xc3\xa9"']),
        (b"null", [b"null"]),
    ],
)
def test_an_array_is_taken_apart_one_level_deep(body: bytes, messages: list[bytes]) -> None:
    assert of(body) == messages


@given(st.lists(VALUES, max_size=5), st.booleans())
def test_the_elements_are_the_arrays(values: list[object], spaced: bool) -> None:
    body = orjson.dumps(values, option=orjson.OPT_INDENT_2 if spaced else None)
    assert [orjson.loads(message) for message in messages_of(JSON, body, 10**6)] == orjson.loads(body)


def test_other_media_types_are_bytes() -> None:
    assert of(b"[1,2]", "text/plain") == [b"[1,2]"]
    assert of(b"[1,2]", "Application/JSON; charset=utf-8") == [b"1", b"2"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1,]", 400),
        (b"[1 2]", 400),
        (b'["\xff"]', 400),
        (b"[" * 980 + b"]" * 980, 400),
        (b'"' + b"1" * 1000 + b'"', 413),
    ],
)
def test_what_cannot_be_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        of(body)
    assert caught.value.status == status
