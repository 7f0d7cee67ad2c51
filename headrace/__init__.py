"""Headrace: one Kafka log, every way to deliver it."""

__version__ = "0.1.0"
