"""The conformance suite of Durable Streams 1.0 (npm `@durable-streams/server-conformance-tests`).

Left out: forks, which Headrace does not have, and the subscriptions of that protocol, which are off in the suite too.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
from conformance.conftest import LONG_POLL_S
from faults.services import Service

PASSED = 250
"""Tests of version 0.3.6 that are not of forks."""
WITHOUT_FORKS = "^(?!.*Fork - )"


async def test_the_suite_passes(gateway: Service, node: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    environ = {**os.environ, "HEADRACE_URL": gateway.url, "HEADRACE_LONG_POLL_S": str(LONG_POLL_S)}
    command = ["npx", "vitest", "run", "-t", WITHOUT_FORKS, "--reporter=json", f"--outputFile={report}"]
    process = await asyncio.create_subprocess_exec(*command, cwd=node, env=environ)
    await process.wait()
    found: dict[str, Any] = orjson.loads(report.read_bytes())
    tests = [test for file in found["testResults"] for test in file["assertionResults"]]
    failed = {test["fullName"]: test["failureMessages"] for test in tests if test["status"] == "failed"}
    assert failed == {}
    assert found["numPassedTests"] == PASSED
    assert process.returncode == 0
