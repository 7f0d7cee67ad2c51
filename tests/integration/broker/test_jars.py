from pathlib import Path

import pytest

from headrace.broker.jars import JarsUnavailable, jars
from headrace.broker.lock import KAFKA, Jar, read_lock


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Jar]:
    """A cache of its own, and a lock file of Kafka's smallest jar."""
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    jar = min(read_lock(KAFKA), key=lambda jar: jar.size_bytes)
    lock = tmp_path / "small.lock"
    lock.write_text(f"{jar.group}:{jar.artifact}:{jar.version} {jar.sha256} {jar.size_bytes}\n")
    return lock, jar


def test_a_damaged_jar_is_fetched_again(small: tuple[Path, Jar]) -> None:
    lock, jar = small
    (path,) = jars(lock)
    path.write_bytes(b"cut off")
    assert jars(lock) == [path]
    assert path.stat().st_size == jar.size_bytes


def test_what_is_there_is_used_without_a_network(small: tuple[Path, Jar], monkeypatch: pytest.MonkeyPatch) -> None:
    lock, _ = small
    (path,) = jars(lock)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert jars(lock) == [path]
    path.unlink()
    with pytest.raises(JarsUnavailable, match="could not be fetched"):
        jars(lock)


def test_a_jar_with_another_checksum_is_refused(small: tuple[Path, Jar]) -> None:
    lock, jar = small
    lock.write_text(lock.read_text().replace(jar.sha256, "0" * 64))
    with pytest.raises(JarsUnavailable, match="damaged or replaced"):
        jars(lock)
