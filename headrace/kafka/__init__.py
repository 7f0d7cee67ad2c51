"""Kafka clients that all parts share: configuration, producing, following, topics and offsets."""
