"""What container tests share: an engine, the image of the real Dockerfile, and the services that run from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers.services import DEPLOY, Services
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network

TAG = "headrace:test"
HINT = "On a Debian machine, tests/containers/with_engine.sh COMMAND gets what is missing."

# The reaper is an image to pull, too; here every container is removed by the fixture that started it.
testcontainers_config.ryuk_disabled = True


@pytest.fixture(scope="session")
def engine() -> DockerClient:
    """A Docker engine that answers."""
    try:
        client = DockerClient()
        client.client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers ({error}). {HINT}")
    return client


@pytest.fixture(scope="session")
def kafka_image(engine: DockerClient) -> str:
    """The Kafka of compose.yaml."""
    return _at_hand(engine, _named(r"^ +image: (apache/kafka:\S+)$", DEPLOY / "compose.yaml"))


@pytest.fixture(scope="session")
def image(engine: DockerClient) -> str:
    """The image that deploy/Dockerfile makes. It stays, so that the next run builds only what has changed."""
    _at_hand(engine, _named(r"^ARG PYTHON_IMAGE=(\S+)$", DEPLOY / "Dockerfile"))
    DockerImage(DEPLOY.parent, tag=TAG, dockerfile_path="deploy/Dockerfile", clean_up=False, forcerm=True).build()
    return TAG


@pytest.fixture(scope="session")
def services(image: str, kafka_image: str) -> Iterator[Services]:
    """Kafka, gateway, worker, relay and a receiver of webhooks, all healthy; then the replay of flights."""
    with Network() as network:
        running = Services(image, network)
        try:
            running.start_kafka(kafka_image)
            running.start_receiver()
            running.make_secret_key()
            running.start("gateway", "gateway", 8080)
            running.start("worker", "worker", 8082)
            running.start("relay", "relay", 8083)
            running.wait_healthy("gateway", "worker", "relay")
            running.start("replay", "source replay --speed 3600", 8085)
            yield running
        finally:
            running.end()


def _named(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    assert match is not None, f"{path} names no image like {pattern}"
    return match[1]


def _at_hand(engine: DockerClient, name: str) -> str:
    try:
        engine.client.images.get(name)
    except ImageNotFound:
        try:
            engine.client.images.pull(name)
        except DockerException as error:
            pytest.skip(f"the image {name} is not here and cannot be pulled ({error}). {HINT}")
    return name
