"""A cluster of three nodes on one machine, to see what happens when some of them fail."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType

from headrace.broker.class_cache import class_cache
from headrace.broker.node import Node
from headrace.broker.properties import free_port, new_cluster_id, node_properties

NODES = 3


class EmbeddedCluster:
    """Three brokers that are also the controllers; what they hold is replicated thrice, and two must have it."""

    def __init__(self, *, heap_mb: int = 256) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="headrace-cluster-"))
        self._cluster_id = new_cluster_id()
        self._ports = [(free_port(), free_port()) for _ in range(NODES)]
        self._nodes = [self._node(node_id, heap_mb) for node_id in range(1, NODES + 1)]

    def _node(self, node_id: int, heap_mb: int) -> Node:
        directory = self._directory / str(node_id)
        properties = node_properties(node_id, self._ports, directory, replicas=NODES, min_in_sync=2)
        return Node(directory, properties, heap_mb=heap_mb, log_file=directory / "broker.log")

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    def start(self) -> EmbeddedCluster:
        """Start all nodes, and wait until each answers."""
        for node in self._nodes:
            node.start(self._cluster_id, java_options=class_cache())
        for index in range(NODES):
            self.wait_ready(index)
        return self

    def start_node(self, index: int) -> None:
        """Start a node that was stopped or killed, and wait until it answers."""
        self._nodes[index].start(self._cluster_id, java_options=class_cache())
        self.wait_ready(index)

    def wait_ready(self, index: int) -> None:
        """Wait until a node answers."""
        self._nodes[index].wait_ready(f"127.0.0.1:{self._ports[index][0]}")

    def stop_node(self, index: int) -> None:
        """End a node cleanly."""
        self._nodes[index].stop()

    def kill_node(self, index: int) -> None:
        """End a node as a crash would."""
        self._nodes[index].kill()

    def pause_node(self, index: int) -> None:
        """Let a node stand still (SIGSTOP)."""
        self._nodes[index].send(signal.SIGSTOP)

    def resume_node(self, index: int) -> None:
        """Let a node go on (SIGCONT)."""
        self._nodes[index].send(signal.SIGCONT)

    def stop(self) -> None:
        """End all, and remove their data."""
        for node in self._nodes:
            node.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> EmbeddedCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
