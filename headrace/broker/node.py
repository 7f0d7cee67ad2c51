"""One Kafka node: a Java process with a directory, from formatting it to its clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headrace.broker.jars import jars
from headrace.broker.java import find_java

START_S = 60.0
LOG_TAIL_BYTES = 3000

LOG4J = """\
status = error
# Kafka says how it ended while it ends: log4j must not end before it.
shutdownHook = disable
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${{sys:headrace.log}}
appender.file.filePattern = ${{sys:headrace.log}}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = {level}
rootLogger.appenderRef.file.ref = file
"""


class BrokerFailed(Exception):
    """Kafka did not start, or not in time; the message ends with its log."""


class Node:
    """A Kafka node in KRaft mode. Not started by its making.

    The process has a session of its own: a Ctrl-C at the terminal reaches whoever started it, who stops it in order.
    """

    def __init__(self, directory: Path, properties: Mapping[str, str], *, heap_mb: int, log_file: Path) -> None:
        self._directory = directory
        self._config = directory / "server.properties"
        self._properties = dict(properties)
        self._heap_mb = heap_mb
        self._log_file = log_file
        self._output = log_file.with_suffix(".out")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, or None before it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def format(self, cluster_id: str, *, java_options: Sequence[str] = ()) -> None:
        """Write its settings, and format the directory if it is new. Raises `BrokerFailed`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._config.write_text("".join(f"{name}={value}\n" for name, value in self._properties.items()), "utf-8")
        (self._directory / "log4j2.properties").write_text(LOG4J.format(level="info"), "utf-8")
        if (Path(self._properties["log.dirs"]) / "meta.properties").exists():
            return
        done = subprocess.run(
            self._java(java_options, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._config)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerFailed(f"Kafka's directory could not be formatted: {done.stdout}{done.stderr}")

    def start(self, cluster_id: str, *, java_options: Sequence[str] = (), keep_open: int | None = None) -> None:
        """Format the directory if it is new, and start the process. Does not wait until it is ready.

        `keep_open` is a file descriptor that the process inherits: a lock that lasts as long as it does.
        """
        self.format(cluster_id, java_options=java_options)
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._java(java_options, "kafka.Kafka", str(self._config)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if keep_open is None else (keep_open,),
            )

    def _java(self, options: Sequence[str], main: str, *arguments: str) -> list[str]:
        return [
            str(find_java()),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            *options,
            "-Dfile.encoding=UTF-8",
            f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}",
            f"-Dheadrace.log={self._log_file}",
            "-cp",
            os.pathsep.join(str(jar) for jar in jars()),
            main,
            *arguments,
        ]

    def wait_ready(self, bootstrap_servers: str, timeout_s: float = START_S) -> None:
        """Wait until Kafka answers a metadata request; raises `BrokerFailed` when it ends or takes too long."""
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 200})
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise BrokerFailed(
                    f"Kafka ended while it was starting. Its log {self._log_file} ends with:\n{self._tail()}"
                )
            try:
                if admin.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                continue
        raise BrokerFailed(
            f"Kafka was not ready within {timeout_s:g} s. Its log {self._log_file} ends with:\n{self._tail()}"
        )

    def _tail(self) -> str:
        texts = [path.read_text("utf-8", "replace") for path in (self._log_file, self._output) if path.exists()]
        return "".join(texts)[-LOG_TAIL_BYTES:]

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Ask Kafka to end cleanly, wait, and kill it when it does not; whether it did."""
        if self._process is None:
            return True
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT."""
        if self._process is not None:
            self._process.send_signal(number)
