"""Kafka's jars: fetched once into the user's cache directory, checked, and used offline from then on."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.broker.lock import KAFKA, Jar, read_lock

FETCHERS = 6


class JarsUnavailable(Exception):
    """The jars are not here and could not be fetched; the message says what to do."""


def cache_directory() -> Path:
    """`$HEADRACE_CACHE_DIR`, else `headrace` in the user's cache directory."""
    if directory := os.environ.get("HEADRACE_CACHE_DIR"):
        return Path(directory)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"


def jars(lock: Path = KAFKA) -> list[Path]:
    """The paths of a lock file's jars; fetches what is missing. Blocks; raises `JarsUnavailable`.

    Every file's checksum was verified before it got its name, so later calls look only for names and sizes.
    """
    repository = cache_directory() / "jars"
    wanted = read_lock(lock)
    if _missing(wanted, repository):
        repository.mkdir(parents=True, exist_ok=True)
        with locked(repository / ".lock"):
            if missing := _missing(wanted, repository):
                _fetch(missing, repository)
    return [repository / jar.path for jar in wanted]


def _missing(wanted: list[Jar], repository: Path) -> list[Jar]:
    def here(jar: Jar) -> bool:
        path = repository / jar.path
        return path.exists() and path.stat().st_size == jar.size_bytes

    return [jar for jar in wanted if not here(jar)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that processes share; waits for it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(missing: list[Jar], repository: Path) -> None:
    console = Console(stderr=True)
    total = sum(jar.size_bytes for jar in missing)
    if not console.is_terminal:
        console.print(f"Fetching Apache Kafka: {len(missing)} jars, {total / 1e6:.0f} MB, once")
    columns = (TextColumn("Fetching Apache Kafka, once"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(FETCHERS) as threads,
    ):
        task = progress.add_task("", total=total)
        for jar in threads.map(lambda jar: _fetch_one(jar, repository), missing):
            progress.advance(task, jar.size_bytes)


def _fetch_one(jar: Jar, repository: Path) -> Jar:
    from jgo.maven import MavenContext

    # Into a directory of its own first: an interrupted fetch leaves a part of a file under the file's own name.
    fetched = repository / ".fetching"
    (fetched / jar.path).unlink(missing_ok=True)
    try:
        context = MavenContext(repo_cache=fetched)
        found = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    except Exception as error:  # whatever the network or the resolver raise
        raise JarsUnavailable(
            f"{jar.artifact}-{jar.version}.jar could not be fetched from Maven Central: {error}. Check the network "
            "(HTTPS_PROXY is honoured) and run the command again; or use your own Kafka: HEADRACE_BOOTSTRAP_SERVERS."
        ) from error
    if (sha256 := hashlib.sha256(found.read_bytes()).hexdigest()) != jar.sha256:
        found.unlink()
        raise JarsUnavailable(
            f"{found.name} has the checksum {sha256}, not {jar.sha256}: it was damaged or replaced on its way. "
            "Run the command again."
        )
    target = repository / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    found.replace(target)
    return jar
