"""Whether the service in this container is alive: its `/healthz`, on whichever of the services' ports it listens."""

from __future__ import annotations

import http.client
import os
import sys

PORTS = {"GATEWAY": 8080, "SERVE": 8080, "INGEST": 8081, "WORKER": 8082, "RELAY": 8083, "SOURCE": 8085}
TIMEOUT_S = 3.0


def main() -> int:
    """0 where a service of this container says that it is alive, else 1."""
    ports = {int(os.environ.get(f"HEADRACE_{service}_PORT", port)) for service, port in PORTS.items()}
    return 0 if any(alive(port) for port in sorted(ports)) else 1


def alive(port: int) -> bool:
    """Whether `/healthz` at this port of the loopback interface answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
