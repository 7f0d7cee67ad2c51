"""A broker of one node, for `headrace up`, for `headrace broker`, and for tests."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from headrace.broker.class_cache import class_cache
from headrace.broker.node import Node
from headrace.broker.properties import free_port, new_cluster_id, node_properties


class BrokerAlreadyRunning(Exception):
    """Another broker uses the data directory."""

    def __init__(self, data_dir: Path, pid: int | None, bootstrap_servers: str) -> None:
        super().__init__(
            f"A broker runs in {data_dir} already (process {pid}, at {bootstrap_servers}). Use it by "
            f"HEADRACE_BOOTSTRAP_SERVERS={bootstrap_servers}, stop it, or give another data directory."
        )
        self.pid = pid
        self.bootstrap_servers = bootstrap_servers


class EmbeddedBroker:
    """A real Kafka on the loopback interface. Without `data_dir` its data goes with it; without `port`, a free one.

    One at a time can use a data directory: the Java process itself holds the lock, so that one that outlived its
    parent is found. Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        heap_mb: int = 512,
        extra_properties: Mapping[str, str] | None = None,
        log_file: Path | None = None,
    ) -> None:
        self._temporary = data_dir is None
        self.data_dir = Path(tempfile.mkdtemp(prefix="headrace-broker-")) if data_dir is None else data_dir.resolve()
        self.log_file = log_file or self.data_dir / "broker.log"
        self.port = port or free_port()
        properties = node_properties(1, [(self.port, free_port())], self.data_dir, replicas=1, min_in_sync=1)
        properties |= extra_properties or {}
        self._node = Node(self.data_dir, properties, heap_mb=heap_mb, log_file=self.log_file)
        self._lock: IO[str] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The Java process."""
        return self._node.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._node.alive

    def start(self) -> EmbeddedBroker:
        """Start, and wait until it answers. Raises `BrokerAlreadyRunning`, `BrokerFailed`, `JarsUnavailable`."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        about = self.data_dir / "running.json"
        lock = (self.data_dir / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            other = json.loads(about.read_text("utf-8")) if about.exists() else {}
            raise BrokerAlreadyRunning(
                self.data_dir, other.get("pid"), other.get("bootstrap_servers", "an unknown address")
            ) from None
        self._lock = lock
        try:
            self._node.start(self._cluster_id(), java_options=class_cache(), keep_open=lock.fileno())
            about.write_text(json.dumps({"pid": self.pid, "bootstrap_servers": self.bootstrap_servers}), "utf-8")
            self._node.wait_ready(self.bootstrap_servers)
        except BaseException:
            self.kill()
            raise
        return self

    def _cluster_id(self) -> str:
        path = self.data_dir / "cluster-id"
        if not path.exists():
            path.write_text(new_cluster_id(), "utf-8")
        return path.read_text("utf-8")

    def stop(self, timeout_s: float = 30.0) -> None:
        """End it cleanly."""
        self._node.stop(timeout_s)
        self._release()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def kill(self) -> None:
        """End it as a crash would; its data stays."""
        self._node.kill()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(FileNotFoundError):
                (self.data_dir / "running.json").unlink()
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
