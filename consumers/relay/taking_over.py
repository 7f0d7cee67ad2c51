"""What a new owner makes of the leases that it finds: parked events, which it holds back until their time."""

from __future__ import annotations

from dataclasses import replace

from headrace.consumers.relay.grant import grant_key
from headrace.consumers.relay.journal import Record
from headrace.consumers.relay.state import Parked, Stored, parked_record


def honoured(found: Stored, subscription: str, now_ms: int) -> tuple[Stored, list[Record]]:
    """The state with each leased event as a parked one, due when its lease ends; and the records that say so.

    So it matters not whether a webhook or a pull subscription goes on from it. The references come before what removes
    the grants: between the two, both say the same. `subscription` is its `state_key`.
    """
    parked = {(one.partition, one.offset): one for one in found.parked}
    changed: dict[tuple[int, int], Parked] = {}
    for grant in found.grants.values():
        for event in grant.events:
            place = (event.partition, event.offset)
            before = changed.get(place) or parked.get(place)
            if before is None and _done(found, *place):
                continue  # it was acknowledged, and others of its grant were not
            if before is not None and (before.attempt, before.due_ms) >= (event.number, grant.until_ms):
                continue
            if before is not None and before.attempt == event.number and not before.leased:
                continue  # it was given back since
            changed[place] = Parked(
                *place,
                event.number,
                grant.until_ms,
                event.key,
                None if before is None else before.dead,
                grant.until_ms > now_ms,
            )
    records: list[Record] = [parked_record(subscription, found.epoch, one) for one in changed.values()]
    records += [(grant_key(subscription, found.epoch, name), None) for name in found.grants]
    return replace(found, parked=[*{**parked, **changed}.values()], grants={}), records


def _done(found: Stored, partition: int, offset: int) -> bool:
    lane = found.lanes.get(partition)
    return lane is not None and (offset < lane.position or any(first <= offset < end for first, end in lane.done))
