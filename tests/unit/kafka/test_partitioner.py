from __future__ import annotations

import random
from collections.abc import Callable

from aiokafka.partitioner import murmur2

from headrace.kafka.partitioner import key_partition

_murmur2: Callable[[bytes], int] = murmur2


def test_a_key_is_where_javas_clients_put_it() -> None:
    rng = random.Random(7)
    for length in range(40):
        key = rng.randbytes(length)
        assert key_partition(key, 7) == (_murmur2(key) & 0x7FFFFFFF) % 7
