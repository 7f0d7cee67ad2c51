"""Running everything: broker first, then the services; at the end the services in order, the broker last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from headrace.broker.embedded import BrokerAlreadyRunning, EmbeddedBroker
from headrace.broker.jars import JarsUnavailable
from headrace.broker.java import JavaNotFound
from headrace.broker.node import BrokerFailed
from headrace.secret_keys import FILE_VARIABLE, VARIABLE, keep_secret_key
from headrace.settings import GatewaySettings
from headrace.up.child import Child, Service
from headrace.up.figures import Figures
from headrace.up.services import WEBHOOKS, environment, services, taken_ports, try_next
from headrace.up.view import View

WATCH_S = 0.5


def run_up(data_dir: Path, port: int, speed: str) -> int:
    """Run until Ctrl-C, SIGTERM or SIGHUP, or until the broker ends by itself. Blocks; returns the exit code."""
    console = Console()
    wanted = services(speed)
    if taken := taken_ports(wanted):
        console.print("\n".join(taken), style="red", highlight=False)
        return 1
    bootstrap_servers = os.environ.get("HEADRACE_BOOTSTRAP_SERVERS")
    if bootstrap_servers:
        return asyncio.run(_run(console, None, bootstrap_servers, data_dir, wanted))
    broker = EmbeddedBroker(data_dir / "broker", port=port)
    console.print("Starting Apache Kafka ...", highlight=False)
    try:
        broker.start()
    except (BrokerAlreadyRunning, BrokerFailed, JarsUnavailable, JavaNotFound) as error:
        console.print(f"{error}", style="red", highlight=False)
        return 1
    try:
        return asyncio.run(_run(console, broker, broker.bootstrap_servers, data_dir, wanted))
    finally:
        console.print("Stopping Apache Kafka ...", highlight=False)
        broker.stop()


def with_secret_key(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """The environment of the services, which all need the same key: one of the user's, else one kept in `data_dir`."""
    if environ.get(FILE_VARIABLE):
        return dict(environ)
    kept = (data_dir / "secret-keys").resolve()
    if not environ.get(VARIABLE):
        keep_secret_key(kept)
    # One that was kept before the user brought another still opens what it has sealed.
    return {**environ, FILE_VARIABLE: str(kept)} if kept.exists() else dict(environ)


async def _run(
    console: Console,
    broker: EmbeddedBroker | None,
    bootstrap_servers: str,
    data_dir: Path,
    wanted: Sequence[Service],
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    environ = with_secret_key(environment(os.environ, bootstrap_servers), data_dir)
    say(WEBHOOKS)
    children = [Child(s, environ, data_dir / "logs" / f"{s.name}.log", say) for s in wanted]
    figures = Figures(children)
    url = f"http://127.0.0.1:{GatewaySettings().port}"
    view = View(console, bootstrap_servers, children, figures, try_next(url))
    for child in children:
        child.start()
    asking = asyncio.ensure_future(figures.run())
    code = 0
    with view.shown():
        while not stop.is_set() and code == 0:
            if broker is not None and not broker.alive:
                say(f"Kafka has ended by itself; see {broker.log_file}")
                code = 1
            await asyncio.sleep(WATCH_S)
        for child in children:
            await child.stop()
    asking.cancel()
    return code
