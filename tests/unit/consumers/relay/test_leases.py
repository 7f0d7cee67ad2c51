"""Who was given which events, and until when."""

from __future__ import annotations

from support.waiting import until

from headrace.consumers.relay.grant import Leased
from headrace.consumers.relay.leases import KEPT, Leases
from headrace.consumers.relay.lineup import Job, now_ms


def job(offset: int) -> Job:
    return Job(0, offset, None, None, attempts=1)


async def test_leases_that_end_are_told_once_and_extended_ones_are_not() -> None:
    expired: list[Job] = []
    leases = Leases(expired.extend, lambda _: None)
    jobs = [job(n) for n in range(4)]
    leases.written(leases.hold(jobs, now_ms() + 50))
    leases.written(leases.hold(jobs[:1], now_ms() + 60_000))
    leases.forget(jobs[1])
    await until(lambda: len(expired) == 2)
    assert expired == jobs[2:]
    assert len(leases) == 1
    assert leases.until_ms(jobs[0]) > now_ms()
    assert leases.until_ms(jobs[2]) == 0
    leases.close()


async def test_a_grant_counts_until_each_of_its_events_is_done_or_in_a_later_one() -> None:
    over: list[str] = []
    leases = Leases(lambda _: None, over.append)
    jobs = [job(n) for n in range(3)]
    first = leases.hold(jobs, now_ms() + 60_000)
    leases.written(first)
    leases.forget(jobs[0])
    leases.release(jobs[1])
    assert {name: grant.events for name, grant in leases.grants().items()} == {
        first.name: (Leased(0, 1, 1), Leased(0, 2, 1))
    }
    jobs[1].attempts = 2
    second = leases.hold(jobs[1:], now_ms() + 60_000)
    assert over == []
    leases.written(second)
    assert over == [first.name]
    assert {name: grant.events for name, grant in leases.grants().items()} == {
        second.name: (Leased(0, 1, 2), Leased(0, 2, 1))
    }
    for one in jobs[1:]:
        leases.forget(one)
    assert over == [first.name, second.name]
    assert leases.grants() == {}
    leases.close()


async def test_what_was_not_written_is_held_by_nobody_and_taken_back() -> None:
    over: list[str] = []
    leases = Leases(lambda _: None, over.append)
    held = leases.hold([job(0)], now_ms() + 60_000)
    leases.not_written(held)
    assert (len(leases), over, leases.grants()) == (0, [held.name], {})
    leases.close()


async def test_long_leases_that_are_over_early_are_not_kept_until_their_time() -> None:
    leases = Leases(lambda _: None, lambda _: None)
    kept = job(0)
    leases.written(leases.hold([kept], now_ms() + 60_000))
    for n in range(10_000):
        one = job(n)
        leases.written(leases.hold([one], now_ms() + 3_600_000))
        leases.forget(one)
    assert len(leases._ends) <= 2 * KEPT + 1
    assert leases.has(kept)
    leases.close()
