import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.broker import BrokerAlreadyRunning, EmbeddedBroker

COUNT = 500


def write(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result()
    producer = Producer({"bootstrap.servers": bootstrap_servers, "max.in.flight": 1})
    for number in range(COUNT):
        producer.produce("kept", str(number).encode())
    assert producer.flush(10) == 0


def read(bootstrap_servers: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "check"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    found = [int(message.value() or b"") for message in consumer.consume(COUNT, 20)]
    consumer.close()
    return found


def test_what_was_written_survives_a_stop_and_a_kill(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        write(broker.bootstrap_servers)
    broker = EmbeddedBroker(tmp_path).start()
    assert read(broker.bootstrap_servers) == list(range(COUNT))
    broker.kill()
    with EmbeddedBroker(tmp_path) as broker:
        assert read(broker.bootstrap_servers) == list(range(COUNT))


def test_a_second_start_says_who_is_running(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as first:
        with pytest.raises(BrokerAlreadyRunning, match=f"process {first.pid}") as refused:
            EmbeddedBroker(tmp_path).start()
        assert refused.value.bootstrap_servers == first.bootstrap_servers
        assert first.alive


def test_ctrl_c_at_the_terminal_ends_the_broker_in_order(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        port = broker.port
    command = [sys.executable, "-m", "headrace", "broker", "--data-dir", str(tmp_path), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    assert b"listens" in process.stderr.readline()
    write(f"127.0.0.1:{port}")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    log = (tmp_path / "broker.log").read_text()
    assert "shut down completed" in log
    with EmbeddedBroker(tmp_path) as broker:
        assert read(broker.bootstrap_servers) == list(range(COUNT))
