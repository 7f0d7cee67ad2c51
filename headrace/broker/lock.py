"""The lock files: which jars make Kafka, with their checksums. `python -m headrace.broker.lock` writes them anew."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.2.0"
KAFKA = Path(__file__).with_name("kafka.lock")
TOOLS = Path(__file__).with_name("tools.lock")

# Kafka logs through slf4j 1.7 and brings no binding for it: without one its log is empty.
_KAFKA_ROOTS = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.3"),
)
_TOOLS_ROOTS = (("org.apache.kafka", "kafka-tools", KAFKA_VERSION),)


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact of Maven Central."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def path(self) -> Path:
        """Where it lies, below a Maven repository's root."""
        return Path(*self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar")


def read_lock(path: Path) -> list[Jar]:
    """The jars of a lock file: `group:artifact:version sha256 bytes` in each line."""
    jars = []
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256, int(size)))
    return jars


def _resolve(roots: Iterable[tuple[str, str, str]], repository: Path) -> list[Jar]:
    from jgo.maven import Dependency, MavenContext

    context = MavenContext(repo_cache=repository)
    jars: dict[tuple[str, str], Jar] = {}
    for group, name, version in roots:
        # One by one: resolved together, the versions that one root manages would be forced on the others.
        root = Dependency(context.project(group, name).at_version(version).artifact())
        inputs, transitive = context.resolver.resolve([root])
        for dependency in (*inputs, *transitive):
            found = dependency.artifact
            if (found.groupId, found.artifactId) not in jars:
                content = Path(found.resolve()).read_bytes()
                sha256 = hashlib.sha256(content).hexdigest()
                jar = Jar(found.groupId, found.artifactId, found.version, sha256, len(content))
                jars[jar.group, jar.artifact] = jar
    return sorted(jars.values(), key=lambda jar: (jar.group, jar.artifact))


def _write(path: Path, jars: Iterable[Jar], about: str) -> None:
    lines = [f"{jar.group}:{jar.artifact}:{jar.version} {jar.sha256} {jar.size_bytes}" for jar in jars]
    path.write_text("\n".join([f"# {about}", "# Written by: python -m headrace.broker.lock", *lines, ""]), "utf-8")


def regenerate() -> None:
    """Resolve what Kafka needs, and write both lock files."""
    with tempfile.TemporaryDirectory() as repository:
        kafka = _resolve(_KAFKA_ROOTS, Path(repository))
        tools = _resolve(_TOOLS_ROOTS, Path(repository))
    _write(KAFKA, kafka, f"Apache Kafka {KAFKA_VERSION}: every jar that the broker runs with.")
    known = {(jar.group, jar.artifact) for jar in kafka}
    extra = [jar for jar in tools if (jar.group, jar.artifact) not in known]
    _write(TOOLS, extra, f"What Apache Kafka {KAFKA_VERSION}'s command-line tools need besides the broker's jars.")


if __name__ == "__main__":
    regenerate()
