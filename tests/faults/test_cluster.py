"""The cluster of three nodes: what is acknowledged survives the loss of one."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.records import records_of

from headrace.broker.cluster import EmbeddedCluster

pytestmark = pytest.mark.faults


def test_what_is_acknowledged_survives_the_kill_of_a_node_and_writing_goes_on() -> None:
    with EmbeddedCluster() as cluster:
        servers = cluster.bootstrap_servers
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic("kept", 3, 3)])["kept"].result()
        producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
        for number in range(3000):
            if number == 1500:
                assert producer.flush(60) == 0
                cluster.kill_node(0)
            producer.produce("kept", str(number), partition=number % 3)
        assert producer.flush(60) == 0
        found = records_of(servers, "kept", 3000, 60)
        assert {int(record.value() or b"") for record in found} == set(range(3000))
        cluster.start_node(0)
