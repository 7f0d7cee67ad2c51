import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.broker import EmbeddedBroker
from headrace.broker.class_cache import class_cache
from headrace.broker.jars import cache_directory, jars
from headrace.broker.java import find_java


@pytest.fixture(scope="module")
def new_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache directory with the jars, and without classes."""
    jars()
    directory = tmp_path_factory.mktemp("cache")
    (directory / "jars").symlink_to(cache_directory() / "jars")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_CACHE_DIR", str(directory))
        yield directory


def test_it_is_made_once_and_java_takes_classes_from_it(new_cache: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: class_cache(), range(2))

    assert first == second
    made = [path for path in (new_cache / "classes").iterdir() if path.name != ".lock"]
    assert first[0] == f"-XX:AOTCache={made[0]}"
    assert len(made) == 1
    path = os.pathsep.join(map(str, jars()))
    # With this mode Java ends where it can't use the file; else it goes on without.
    command = [str(find_java()), "-XX:AOTMode=on", "-XX:+UseSerialGC", *first, "-cp", path, "kafka.tools.StorageTool"]
    assert subprocess.run([*command, "random-uuid"], check=False, capture_output=True).returncode == 0
    command[command.index(path)] = str(new_cache)
    assert subprocess.run([*command, "random-uuid"], check=False, capture_output=True).returncode != 0


def test_a_broker_starts_whatever_the_file_holds(new_cache: Path, tmp_path: Path) -> None:
    path = Path(class_cache()[0].partition("=")[2])
    path.write_bytes(b"no classes" * 1000)

    with EmbeddedBroker(tmp_path) as broker:
        assert broker.alive
