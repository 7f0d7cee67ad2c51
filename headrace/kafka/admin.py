"""The admin client: what it can't do it raises, so that its own lines on stderr would only be noise among the logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

CRITICAL = 2


def admin_client(kafka: Mapping[str, Any]) -> AdminClient:
    """An admin client of the cluster. Keep a reference while its answers are awaited."""
    return AdminClient({**kafka, "log_level": CRITICAL})
