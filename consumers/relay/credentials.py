"""What a subscription's endpoint is shown to be let in: taken in requests, kept sealed, told only in outline."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_serializer, field_validator

from headrace.consumers.relay.tls import Tls as ClientTls

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""A header's name: RFC 9110 section 5.6.2, token."""
VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
MAX_HEADERS = 50
MAX_VALUE = 4096
MAX_PEM = 64 * 1024
OURS = frozenset(
    {
        "authorization", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
OUR_PREFIXES = ("webhook-", "ce-", "proxy-")

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[\x20-\x7e]+$")]
Hidden = Annotated[SecretStr, Field(min_length=1, max_length=MAX_VALUE)]
Pem = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PEM)]


class _Kept(BaseModel):
    """Secrets are shown to nobody but the vault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_serializer("*", when_used="json")
    def _plain(self, value: Any) -> Any:
        return value.get_secret_value() if isinstance(value, SecretStr) else value


class Basic(_Kept):
    """RFC 7617."""

    type: Literal["basic"]
    username: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[\x20-9;-\x7e]+$")]  # no colon
    password: Hidden


class Bearer(_Kept):
    """RFC 6750: a token that does not change."""

    type: Literal["bearer"]
    token: Hidden


class ClientCredentials(_Kept):
    """OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

    type: Literal["oauth2"]
    token_url: Annotated[str, StringConstraints(max_length=2048)]
    client_id: Text
    client_secret: Hidden
    scope: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[\x20-\x7e]*$")] = ""


class Tls(_Kept):
    """What the endpoint's certificate is checked by, and what it is shown: all PEM."""

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Annotated[SecretStr, Field(max_length=MAX_PEM)] | None = None


Auth = Annotated[Basic | Bearer | ClientCredentials, Field(discriminator="type")]


class Credentials(_Kept):
    """All of it. `headers` are sent with every request; their values may be secrets, so they are kept as such."""

    auth: Auth | None = Field(None, description="How requests to the endpoint are authorized; not shown again.")
    headers: dict[str, Hidden] = Field(
        default_factory=dict, max_length=MAX_HEADERS, description="Further headers of every request; not shown again."
    )
    tls: Tls | None = Field(None, description="An authority of your own, or mutual TLS; not shown again.")

    @field_validator("headers")
    @classmethod
    def _may_be_sent(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no header name")
            if name.lower() in OURS or name.lower().startswith(OUR_PREFIXES):
                raise ValueError(f"{name} is set by Headrace; credentials go into auth")
            if not VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"{name}: a header's value is printable ASCII without spaces around it")
        return {name.lower(): value for name, value in headers.items()}

    @field_serializer("headers", when_used="json")
    def _plain_headers(self, headers: dict[str, SecretStr]) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in headers.items()}

    def client_tls(self) -> ClientTls | None:
        """The TLS identity, with its key."""
        if self.tls is None:
            return None
        key = "" if self.tls.key is None else self.tls.key.get_secret_value()
        return ClientTls(self.tls.certificate or "", key, self.tls.ca or "")

    def outline(self) -> dict[str, Any]:
        """What may be shown."""
        auth = None if self.auth is None else self.auth.model_dump(exclude={"password", "token", "client_secret"})
        tls = None if self.tls is None else {name: getattr(self.tls, name) is not None for name in Tls.model_fields}
        return {"auth": auth, "headers": sorted(self.headers), "tls": tls}
