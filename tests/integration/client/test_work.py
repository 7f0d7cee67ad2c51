"""Workers that share a pull subscription: with the client, and with a command for each event."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up
from support.waiting import until

from headrace.client import Client, Conflict, Event, Retry


async def test_workers_share_events_and_what_fails_comes_again(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, mode="pull", name=f"{feed}-work", offset="-1")
        assert (made.mode, made.url, made.secret) == ("pull", None, None)
        await taken_up(client, made.id)
        written = [w.id for w in await client.publish(feed, [{"n": n} for n in range(60)])]
        handled: list[str] = []
        at_once, most = 0, 0
        failed = {written[7]: Retry(0.0), written[9]: Retry(0.1), written[11]: ValueError("a bad day")}

        async def handle(event: Event) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                # Longer than its lease: it is extended meanwhile.
                await asyncio.sleep(6.0 if event.id == written[3] else 0.01)
                if event.id in failed:
                    raise failed.pop(event.id)
                handled.append(event.id)
            finally:
                at_once -= 1

        workers = [
            asyncio.ensure_future(client.subscription(made.id).work(handle, concurrency=5, lease_s=5)) for _ in range(2)
        ]
        await until(lambda: len(handled) >= 60)

        async def all_acknowledged() -> bool:
            found = (await client.subscriptions.get(made.id)).status
            return found is not None and found.lag == 0 and found.in_flight == 0

        await until(all_acknowledged)
        assert Counter(handled) == Counter(written)
        assert most <= 10
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_a_worker_that_is_cancelled_gives_back_what_it_has(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, mode="pull", offset="-1")
        await taken_up(client, made.id)
        written = [w.id for w in await client.publish(feed, [{"n": n} for n in range(3)])]
        begun: list[str] = []

        async def handle(event: Event) -> None:
            begun.append(event.id)
            await asyncio.Event().wait()

        subscription = client.subscription(made.id)
        working = asyncio.ensure_future(subscription.work(handle, concurrency=2, lease_s=600))
        await until(lambda: len(begun) == 2)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        again = await subscription.lease(10)
        assert sorted(d.event.id for d in again) == sorted(written)
        assert await subscription.extend(again, lease_s=300) == {}
        assert await subscription.nack(again[:1]) == {}
        assert await subscription.ack(again) == {again[0].ack_id: "expired"}
        await client.subscriptions.pause(made.id)

        async def refused() -> bool:
            try:
                await subscription.lease()
            except Conflict as error:
                return "paused" in str(error)
            return False

        await until(refused)


@pytest.mark.parametrize("command", ["append", "fail"])
async def test_a_command_is_run_for_each_event_and_an_event_is_done_when_it_ends_with_0(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory, tmp_path: Path, command: str
) -> None:
    feed, out = new_feed(), tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        f"with open({str(out)!r}, 'a') as out: out.write(sys.stdin.read())\n"
        f"assert os.environ['HEADRACE_EVENT_ID']\nsys.exit({int(command == 'fail')})\n"
    )
    async with relay(), gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, mode="pull", offset="-1")
        await taken_up(client, made.id)
        written = [w.id for w in await client.publish(feed, [{"n": n} for n in range(4)])]
        working = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace", "work", made.id, "--url", url),
            *("--exec", f"{sys.executable} {script}", "--concurrency", "2"),
            stderr=asyncio.subprocess.PIPE,
        )

        async def ended() -> bool:
            found = (await client.subscriptions.get(made.id)).status
            return found is not None and (found.delivered if command == "append" else found.failed) >= 4

        try:
            await until(ended, 90)
        finally:
            working.terminate()
            _, err = await working.communicate()
        assert working.returncode == 0
        said = err.decode().splitlines()
        if command == "fail":
            # A line for each, and nothing else.
            assert len(said) >= 4
            assert all(re.fullmatch(r"Event \S+: \S+ ended with 1; it comes again after \d+ s\.", one) for one in said)
        else:
            assert said == []
        seen = [orjson.loads(line)["id"] for line in out.read_text().splitlines()]
        assert set(seen) == set(written)
        if command == "append":
            assert len(seen) == 4


@pytest.mark.parametrize(
    ("command", "said"), [("", "empty"), ("no-such-command x", "no-such-command"), ("echo 'half", "quotation")]
)
async def test_a_command_that_cannot_be_run_is_told_at_once(command: str, said: str) -> None:
    working = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace", "work", "a", "--exec", command, "--url", "http://127.0.0.1:9"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await working.communicate()
    assert working.returncode == 2
    assert said in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_command_that_a_signal_ends_is_told_by_its_name(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, mode="pull", offset="-1")
        await taken_up(client, made.id)
        [written] = await client.publish(feed, [{"n": 1}])
        working = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace", "work", made.id, "--url", url, "--exec", "sh -c 'kill -9 $$'"),
            stderr=asyncio.subprocess.PIPE,
        )
        assert working.stderr is not None
        try:
            async with asyncio.timeout(60):
                line = (await working.stderr.readline()).decode()
        finally:
            working.terminate()
            await working.communicate()
        assert line == f"Event {written.id}: sh was ended by SIGKILL; it comes again after 1 s.\n"
