"""A gateway as a process, and node with the packages of `package-lock.json`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faults.services import Service, steady_port

from headrace.secret_keys import new_secret_key

HERE = Path(__file__).parent
LONG_POLL_S = 2.0


@pytest.fixture(scope="session")
def node() -> Path:
    """The directory in which to run node; its packages are installed. Skips, loudly, where there is no node."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("THE CONFORMANCE SUITE IS NOT RUN: it needs node (20 or newer) and npm on the PATH")
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE, check=True, timeout=300)
    return HERE


@pytest.fixture
async def gateway(kafka: str, tmp_path: Path) -> AsyncIterator[Service]:
    """`headrace gateway`; killed, it is started again."""
    port = steady_port()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    own = {
        "HEADRACE_BOOTSTRAP_SERVERS": kafka,
        "HEADRACE_GATEWAY_PORT": str(port),
        "HEADRACE_LONG_POLL_S": str(LONG_POLL_S),
        "HEADRACE_CORS_ORIGINS": "*",
        "HEADRACE_SECRET_KEYS": new_secret_key(),
    }
    service = Service("gateway", ["gateway"], port, {**clean, **own}, tmp_path / "gateway.log")
    service.start()
    try:
        await service.ready()
        yield service
    finally:
        print(service.told())
        await service.stop()
