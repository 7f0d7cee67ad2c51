from __future__ import annotations

from typing import Any, cast

import pytest
from support.waiting import until
from unit.consumers.relay.positions import Positions

from headrace.consumers.relay.journal import Journal, Snapshot
from headrace.kafka.bridge import Undelivered


def snapshot_of(name: str, told: list[str]) -> Snapshot:
    return Snapshot([(name.encode(), b"x")], lambda: told.append(name))


def broken() -> Snapshot:
    raise RuntimeError("an error of ours")


async def test_one_that_cannot_be_told_is_no_matter_of_the_others_and_is_not_taken_for_written() -> None:
    positions, told = Positions(), list[str]()
    journal = Journal(cast("Any", positions), 0.01)
    journal.mark("broken", broken)
    journal.mark("whole", lambda: snapshot_of("whole", told))
    await until(lambda: told == ["whole"])
    journal.mark("broken", broken)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await journal.flush("broken")
    await journal.close()


async def test_what_kafka_does_not_take_is_written_as_soon_as_it_does() -> None:
    positions, told = Positions(), list[str]()
    journal = Journal(cast("Any", positions), 3600.0)
    positions.lost = lambda record: True
    journal.mark("s", lambda: snapshot_of("s", told))
    with pytest.raises(Undelivered):
        await journal.flush("s")
    assert told == []
    positions.lost = lambda record: False
    await journal.flush("s")
    assert (told, positions.kept) == (["s"], {b"s": b"x"})
    await journal.close()
