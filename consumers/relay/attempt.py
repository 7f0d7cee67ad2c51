"""One attempt to deliver one event: signed by Standard Webhooks 1.0, sent, and judged by the answer's status."""

from __future__ import annotations

import time
from dataclasses import dataclass

from headrace import __version__, metrics
from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target
from headrace.signing import header_id, sign

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
USER_AGENT = f"Headrace/{__version__}"

_SECONDS_DELIVERED = metrics.attempt_seconds.labels("delivered")
_SECONDS_FAILED = metrics.attempt_seconds.labels("failed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `status` is None where there was no answer; then `error` says why."""

    delivered: bool
    status: int | None
    seconds: float
    error: str | None = None


class Endpoint:
    """Where a subscription's events go."""

    def __init__(self, client: HttpClient, url: str, secret: str) -> None:
        self._client = client
        self._target = Target.of(url)
        self._secret = secret

    async def deliver(self, event_id: str, body: bytes) -> Outcome:
        """Post one event. Every attempt of an event carries the same `webhook-id`."""
        message_id = header_id(event_id)
        timestamp_s = int(time.time())
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self._secret, message_id, timestamp_s, body),
        }
        started = time.perf_counter()
        try:
            answer = await self._client.post(self._target, headers, body)
        except AttemptFailed as error:
            outcome = Outcome(False, None, time.perf_counter() - started, str(error))
        else:
            delivered = 200 <= answer.status < 300
            error_text = None if delivered else f"answered {answer.status}"
            outcome = Outcome(delivered, answer.status, time.perf_counter() - started, error_text)
        (_SECONDS_DELIVERED if outcome.delivered else _SECONDS_FAILED).observe(outcome.seconds)
        return outcome
