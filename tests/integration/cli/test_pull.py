from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from asyncio.subprocess import PIPE
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from integration.cli.conftest import ended, environment, headrace, line, running, stop
from integration.client.conftest import FeedFactory, Gateway
from support.waiting import until

from headrace.client import Client


def numbers(out: bytes) -> list[int]:
    return [orjson.loads(one)["data"]["n"] for one in out.splitlines()]


def printed_at_least(out: Path, wanted: int) -> bool:
    whole_lines = out.read_bytes().rpartition(b"\n")[0] if out.exists() else b""
    return len(set(numbers(whole_lines))) >= wanted


def numbered(first: int, count: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(first, first + count)]


async def test_a_checkpoint_goes_on_exactly_where_it_stopped(
    gateway: Gateway, new_feed: FeedFactory, tmp_path: Path
) -> None:
    feed, checkpoint = new_feed("partitions = 3"), str(tmp_path / "position")
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 3000))
        first = await headrace(url, "pull", feed, "--limit", "1234", "--checkpoint", checkpoint)
        # The checkpoint goes before --from.
        second = await headrace(url, "pull", feed, "--from", "-1", "--checkpoint", checkpoint)
        nothing = await headrace(url, "pull", feed, "--checkpoint", checkpoint)
        await client.publish(feed, numbered(3000, 10))
        third = await headrace(url, "pull", feed, "--checkpoint", checkpoint)
    assert [done.err for done in (first, second, nothing, third)] == [""] * 4
    assert len(numbers(first.out)) == 1234
    assert sorted(numbers(first.out) + numbers(second.out)) == list(range(3000))
    assert nothing.out == b""
    assert sorted(numbers(third.out)) == list(range(3000, 3010))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_follower_that_is_stopped_goes_on_with_nothing_lost_or_repeated(
    gateway: Gateway, new_feed: FeedFactory, tmp_path: Path, number: signal.Signals
) -> None:
    feed, command = new_feed(), ["--follow", "--checkpoint", str(tmp_path / "position")]
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 20))
        async with running(url, "pull", feed, *command) as process:
            printed = [await line(process.stdout) for _ in range(20)]
            await client.publish(feed, numbered(20, 1))
            printed.append(await line(process.stdout))
            done = await stop(process, number)
        assert (done.status, done.err) == (0, "")
        await client.publish(feed, numbered(21, 5))
        async with running(url, "pull", feed, *command) as process:
            printed += [await line(process.stdout) for _ in range(5)]
            assert (await stop(process, number)).out == b""
    assert numbers("\n".join(printed).encode()) == list(range(26))


async def test_a_follower_that_is_killed_repeats_at_most_what_it_had_not_saved(
    gateway: Gateway, new_feed: FeedFactory, tmp_path: Path
) -> None:
    feed, out = new_feed(), tmp_path / "events"
    command = f"{sys.executable} -m headrace pull {feed} --follow --checkpoint {tmp_path / 'position'} >> {out}"
    async with gateway() as url, Client(url) as client:
        for first in (0, 100, 200):
            shell = await asyncio.create_subprocess_shell(f"exec {command}", env=environment(url))
            await client.publish(feed, numbered(first, 100))
            wanted = first + 100
            await until(partial(printed_at_least, out, wanted))
            shell.kill()
            await shell.wait()
    found = numbers(out.read_bytes())
    assert set(found) == set(range(300))
    # Each time at most the page that was being written.
    assert len(found) <= 300 + 3 * 100


async def test_a_restart_of_the_gateway_is_waited_for(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url:
        async with Client(url) as client:
            await client.publish(feed, numbered(0, 3))
        follower = running(url, "pull", feed, "--follow")
        process = await follower.__aenter__()
        printed = [await line(process.stdout) for _ in range(3)]
    assert "Asking again" in await line(process.stderr)
    async with gateway(port=urlsplit(url).port) as url, Client(url) as client:
        await client.publish(feed, numbered(3, 3))
        printed += [await line(process.stdout) for _ in range(3)]
        assert (await stop(process)).status == 0
    assert numbers("\n".join(printed).encode()) == list(range(6))


@pytest.mark.parametrize("more", [[], ["--follow"]])
async def test_a_closed_pipe_ends_it_quietly(gateway: Gateway, new_feed: FeedFactory, more: list[str]) -> None:
    feed = new_feed()
    pull = shlex.join([sys.executable, "-m", "headrace", "pull", feed, *more])
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, [{"n": n, "filler": "x" * 1000} for n in range(2000)])
        shell = await asyncio.create_subprocess_shell(
            f"{pull} | head -n 2; exit ${{PIPESTATUS[0]}}",
            stdout=PIPE,
            stderr=PIPE,
            env=environment(url),
            executable="/bin/bash",
        )
        done = await ended(shell)
    assert (done.status, done.err, numbers(done.out)) == (0, "", [0, 1])


async def test_a_gateway_that_is_not_there_is_told_with_how_to_start_one() -> None:
    done = await headrace("http://127.0.0.1:9", "pull", "flights.enriched")
    assert done.status == 1
    assert "http://127.0.0.1:9 cannot be reached: Connection refused" in done.err
    assert "headrace gateway" in done.err
    assert "Traceback" not in done.err


async def test_an_unknown_feed_is_told_with_the_names_of_those_that_are(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with gateway() as url:
        done = await headrace(url, "pull", "flihgts")
    assert done.status == 1
    assert feed in done.err
    assert ".dead" not in done.err


async def test_events_that_are_gone_are_told_with_how_to_go_on(
    gateway: Gateway, new_feed: FeedFactory, tmp_path: Path, kafka: str
) -> None:
    feed, checkpoint = new_feed(), tmp_path / "position"
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 20))
        await headrace(url, "pull", feed, "--limit", "5", "--checkpoint", str(checkpoint))
        admin = AdminClient({"bootstrap.servers": kafka})
        for deleted in admin.delete_records([TopicPartition(feed, 0, 12)]).values():
            deleted.result(10)
    async with gateway() as url, Client(url) as client:
        earliest = (await client.feed(feed)).earliest_offset
        assert earliest is not None
        gone = await headrace(url, "pull", feed, "--checkpoint", str(checkpoint))
        assert gone.status == 1
        assert f"delete {checkpoint}" in gone.err
        assert f"--from {earliest}" in gone.err
        checkpoint.unlink()
        done = await headrace(url, "pull", feed, "--checkpoint", str(checkpoint), "--from", earliest)
    assert numbers(done.out) == list(range(12, 20))


async def test_a_checkpoint_of_another_feed_is_refused(gateway: Gateway, new_feed: FeedFactory, tmp_path: Path) -> None:
    one, other, checkpoint = new_feed(), new_feed(), str(tmp_path / "position")
    async with gateway() as url:
        await headrace(url, "pull", one, "--checkpoint", checkpoint)
        done = await headrace(url, "pull", other, "--checkpoint", checkpoint)
    assert done.status == 1
    assert f"is a checkpoint of the feed {one}" in done.err


async def test_it_starts_at_the_tail_or_at_a_time(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 3))
        assert (await headrace(url, "pull", feed, "--from", "now")).out == b""
        assert numbers((await headrace(url, "pull", feed, "--from", "2020-01-01T00:00:00+01:00")).out) == [0, 1, 2]
        assert (await headrace(url, "pull", feed, "--from", "2099-01-01T00:00:00Z")).out == b""
        wrong = await headrace(url, "pull", feed, "--from", "rubbish")
    assert wrong.status == 1
    assert "use -1, now" in wrong.err
