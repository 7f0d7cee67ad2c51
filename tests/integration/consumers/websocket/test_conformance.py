"""The Autobahn cases, run by `kosoku`, against the WebSocket code of the service behind an echo (`support/echo.py`).

Not run: of groups 12 and 13 (compression) the cases from `.4` on, which send the same texts in larger messages, a
thousand of each, and take minutes: `HEADRACE_AUTOBAHN=all` runs them too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.waiting import until

from headrace.broker.properties import free_port

ACCEPTED = {"OK", "NON-STRICT", "INFORMATIONAL"}
LARGE = [f"{group}.*.{number}" for group in (12, 13) for number in range(4, 19)]


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """An echo in a process of its own, on uvloop as the services are; gives its URL."""
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "support.echo", str(port), env=environ)

    async def listens() -> bool:
        assert process.returncode is None
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await until(listens)
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_every_autobahn_case_is_strict_or_non_strict() -> None:
    pytest.importorskip("kosoku", reason="THE AUTOBAHN CASES ARE NOT RUN: pip install kosoku==0.1.0")
    excluded = [] if os.environ.get("HEADRACE_AUTOBAHN") == "all" else LARGE
    # Half of the work is in group 13.
    async with echo() as one, echo() as other:
        both = await asyncio.gather(run(one, None, ["13.*", *excluded]), run(other, ["13.*"], excluded))
    results = [result for results in both for result in results]
    bad = {
        result.case_id: (result.behavior.value, result.behavior_close.value, result.result, result.result_close)
        for result in results
        if not {result.behavior.value, result.behavior_close.value} <= ACCEPTED
    }
    assert bad == {}
    assert len(results) >= 300, "cases are missing"


async def run(url: str, cases: list[str] | None, excluded: list[str]) -> list[Any]:
    """Run cases against an echo; gives what came of each."""
    from kosoku import FailureError, run_fuzzingclient

    try:
        return list(await run_fuzzingclient(url, cases=cases, exclude_cases=excluded, concurrency=4))
    except FailureError as error:
        return list(error.results)
