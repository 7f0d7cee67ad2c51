"""What runners are equipped with: endpoints and policies made of definitions and settings, secrets opened."""

from __future__ import annotations

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.filter.projection import Projection
from headrace.consumers.relay.authorization import authorization
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.message import Composer
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.secrets import open_credentials, open_keys
from headrace.consumers.relay.signer import Signer
from headrace.consumers.relay.target import Target
from headrace.consumers.relay.vault import Vault
from headrace.settings import RelaySettings


class Equipment:
    """Makes endpoints that share one HTTP client."""

    def __init__(self, settings: RelaySettings, client: HttpClient, vault: Vault) -> None:
        self._settings = settings
        self._client = client
        self._vault = vault

    def endpoint(self, subscription: Subscription, feed_log: FeedLog) -> Endpoint:
        """The endpoint of a subscription; raises ValueError, or `CannotOpen` for secrets sealed with another key."""
        options = subscription.options
        credentials = open_credentials(self._vault, subscription)
        projection = None if options.projection is None else Projection.parse(options.projection)
        batched = options.batch.max_events > 1
        composer = Composer(feed_log.json, options.content_mode, projection, batched=batched)
        return Endpoint(
            self._client,
            Target.of(subscription.url or "", credentials.client_tls()),
            Signer(open_keys(self._vault, subscription)),
            composer.compose,
            {name: value.get_secret_value() for name, value in credentials.headers.items()},
            None if credentials.auth is None else authorization(credentials.auth, self._client),
        )

    def policy(self, subscription: Subscription) -> Policy:
        """How a subscription behaves."""
        return Policy.of(subscription.options, subscription.granted_per_min, self._settings)
