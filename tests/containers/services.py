"""Headrace's services as containers on one network, as deploy/compose.yaml runs them."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from docker.errors import NotFound
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import ExecWaitStrategy, HealthcheckWaitStrategy

from headrace.access.api_key import new_key_text

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RECEIVER_PORT = 9000
ENGINES_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
"""Where the receiver is: engines give their networks private addresses."""

HEALTHY_S = 90
LOG_CHARACTERS = 4000
SECRETS = "/var/lib/headrace/secrets"
KEYHOLDERS = ("gateway", "relay")


@dataclass
class Services:
    """What runs, by name. Names are what containers call each other."""

    image: str
    network: Network
    containers: dict[str, DockerContainer] = field(default_factory=dict)
    admin_key: str = field(default_factory=new_key_text)
    volume: str = field(default_factory=lambda: f"headrace-test-{secrets.token_hex(6)}")

    def start_kafka(self, image: str) -> None:
        """Start Kafka with compose.yaml's settings; returns when it takes connections."""
        listens = ExecWaitStrategy(["bash", "-c", "</dev/tcp/localhost/9092"])
        kafka = DockerContainer(image).with_env_file(DEPLOY / "kafka.env").waiting_for(listens)
        self._start("kafka", kafka)

    def start_receiver(self) -> None:
        """Start a receiver of webhooks: receiver.py, with the Python of the image."""
        source = Path(__file__).with_name("receiver.py")
        receiver = (
            DockerContainer(self.image, command="/receiver.py")
            .with_copy_into_container(source, "/receiver.py")
            .with_exposed_ports(RECEIVER_PORT)
            .with_kwargs(entrypoint=["python"])
        )
        self._start("receiver", receiver)

    def start(self, name: str, command: str, port: int) -> None:
        """Start a service with no more rights than compose.yaml gives it. Does not wait."""
        service = self._confined(command).with_env("HEADRACE_BOOTSTRAP_SERVERS", "kafka:9092").with_exposed_ports(port)
        if name in KEYHOLDERS:
            service.with_env("HEADRACE_ADMIN_KEY", self.admin_key).with_env(
                "HEADRACE_SECRET_KEYS_FILE", f"{SECRETS}/keys"
            ).with_volume_mapping(self.volume, SECRETS)
        self._start(name, service)

    def make_secret_key(self) -> None:
        """Make the key that the services share, as compose.yaml does; raises when that fails."""
        command = f"secrets new-key --file {SECRETS}/keys"
        self._start("secret-key", self._confined(command).with_volume_mapping(self.volume, SECRETS, "rw"))
        if status := self.containers["secret-key"].get_wrapped_container().wait()["StatusCode"]:
            raise RuntimeError(f"making a key ended with {status}")

    def _confined(self, command: str) -> DockerContainer:
        return (
            DockerContainer(self.image, command=command)
            .with_env("HEADRACE_WEBHOOK_ALLOW", ENGINES_NETWORKS)
            .with_tmpfs_mount("/tmp")
            .with_kwargs(read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"])
        )

    def wait_healthy(self, *names: str) -> None:
        """Wait for the image's own health check; raises when a container is found unhealthy or takes too long."""
        for name in names:
            HealthcheckWaitStrategy().with_startup_timeout(HEALTHY_S).wait_until_ready(self.containers[name])

    def run(self, name: str, command: list[str]) -> str:
        """What a command prints to stdout in a running container; raises where it fails.

        The engine copies stdout and stderr side by side: read as one, their lines come in any order."""
        done = self.containers[name].get_wrapped_container().exec_run(command, demux=True)
        output, errors = ((part or b"").decode() for part in done.output)
        if done.exit_code:
            raise RuntimeError(f"{command} ended with {done.exit_code}: {errors}")
        return output

    def stop(self, name: str) -> int:
        """Ask a service to end, with the signal that the image names; its exit code."""
        container = self.containers[name].get_wrapped_container()
        container.stop(timeout=20)
        return int(container.wait()["StatusCode"])

    def url(self, name: str, port: int) -> str:
        """Where a port of a service is published on this machine."""
        container = self.containers[name]
        return f"http://{container.get_container_host_ip()}:{container.get_exposed_port(port)}"

    def end(self) -> None:
        """Show the end of every log, which pytest prints where a test failed, and remove the containers."""
        for name, container in reversed(self.containers.items()):
            with contextlib.suppress(ContainerStartException):  # one that was never made has no log
                output, errors = container.get_logs()
                print(f"--- {name}\n{(output + errors).decode(errors='replace')[-LOG_CHARACTERS:]}")
            container.stop()
        with contextlib.suppress(NotFound):  # where it was not come to
            DockerClient().client.volumes.get(self.volume).remove()

    def _start(self, name: str, container: DockerContainer) -> None:
        self.containers[name] = container
        container.with_network(self.network).with_network_aliases(name).start()
