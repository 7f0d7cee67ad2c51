"""The types of answers have the members that the code gives."""

from __future__ import annotations

from headrace.consumers.relay.credentials import Credentials
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.subscription_answers import ShownSubscription


def test_a_subscription_is_shown_as_its_type_says() -> None:
    credentials = Credentials.model_validate(
        {
            "auth": {"type": "basic", "username": "me", "password": "secret"},
            "headers": {"x-a": "b"},
            "tls": {"ca": "pem"},
        }
    )
    for outline in (Credentials().outline(), credentials.outline()):
        shown = Subscription("a", "feed", None, "", "", "", "", outline=outline).public()
        assert set(shown) == set(ShownSubscription.model_fields)
        ShownSubscription.model_validate(shown)
