"""The embedded broker: a real Apache Kafka, from the Python index alone."""

from headrace.broker.embedded import BrokerAlreadyRunning, EmbeddedBroker

__all__ = ["BrokerAlreadyRunning", "EmbeddedBroker"]
