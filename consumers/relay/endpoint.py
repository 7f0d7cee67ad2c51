"""Where a subscription's events go: one attempt is signed by Standard Webhooks 1.0, sent, and judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from headrace import __version__
from headrace.consumers.core.record import Record
from headrace.consumers.relay.authorization import Authorization, NotAuthorized
from headrace.consumers.relay.connection import AttemptFailed, Phases
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.message import Compose, Message
from headrace.consumers.relay.outcome import Verdict, verdict
from headrace.consumers.relay.signer import Signer
from headrace.consumers.relay.target import Target

USER_AGENT = f"Headrace/{__version__}"


@dataclass(slots=True)  # to freeze it would double the cost of its making, and every attempt makes one
class Outcome:
    """How an attempt ended. `status` is None where there was no answer; `error` says why it did not succeed.

    `answer` is the first 4 KB of its body.
    """

    verdict: Verdict
    status: int | None
    phases: Phases
    error: str | None = None
    error_class: str | None = None
    answer: bytes = b""

    @property
    def delivered(self) -> bool:
        """Whether the endpoint took it."""
        return self.verdict.delivered


class Endpoint:
    """An endpoint with all that a request to it needs."""

    def __init__(
        self,
        client: HttpClient,
        target: Target,
        signer: Signer,
        compose: Compose,
        headers: dict[str, str],
        authorization: Authorization | None,
    ) -> None:
        self._client = client
        self._target = target
        self._signer = signer
        self._compose = compose
        self._headers = {"user-agent": USER_AGENT, **headers}
        self._authorization = authorization

    async def deliver(self, records: Sequence[Record]) -> Outcome:
        """Post events. Every attempt of an event carries the same `webhook-id`."""
        return await self.send(self._compose(records))

    async def send(self, message: Message) -> Outcome:
        """Sign and post a message."""
        now_s = time.time()
        timestamp_s = int(now_s)
        headers = {
            **self._headers,
            **message.headers,
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": self._signer.sign(message.id, timestamp_s, message.body, now_s),
        }
        try:
            left_s = self._client.timeout_s
            if self._authorization is not None:
                headers["authorization"] = await self._authorization.header()
                left_s -= time.time() - now_s
            answer = await self._client.request("POST", self._target, headers, message.body, timeout_s=left_s)
        except AttemptFailed as error:
            phases = error.phases or Phases()
            return Outcome(verdict(None, {}), None, phases, str(error), error.error_class)
        except NotAuthorized as error:
            return Outcome(verdict(None, {}), None, Phases(), str(error), "oauth2")
        judged = verdict(answer.status, answer.headers)
        if answer.status == 401 and self._authorization is not None:
            self._authorization.refused(headers["authorization"])
        failed = None if judged.delivered else f"answered {answer.status}"
        return Outcome(judged, answer.status, answer.phases, failed, "status" if failed else None, answer.body)
