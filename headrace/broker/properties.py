"""The configuration of an embedded node: a small broker that is also its own controller."""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path

OWN_PORTS = range(15_000, 32_000)
"""Below those that systems take for outgoing connections: from 32768 on under Linux, from 49152 on elsewhere."""


def node_properties(
    node_id: int, ports: Sequence[tuple[int, int]], directory: Path, *, replicas: int, min_in_sync: int
) -> dict[str, str]:
    """Kafka's properties. `ports` holds broker and controller port of every node, this one's at `node_id - 1`."""
    port, controller = ports[node_id - 1]
    voters = ",".join(f"{index}@127.0.0.1:{pair[1]}" for index, pair in enumerate(ports, 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node_id),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(directory / "log"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(min_in_sync),
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(min_in_sync),
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(min_in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
        # A group of one should not wait for a second member.
        "group.initial.rebalance.delay.ms": "0",
    }


def new_cluster_id() -> str:
    """A random UUID as Kafka writes it: base64url without padding, not beginning with a dash (like an option)."""
    while (cluster_id := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return cluster_id


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment.

    Not one of those that the system takes for outgoing connections: until it is listened on, one of them might be.
    """
    while True:
        port = secrets.choice(OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
