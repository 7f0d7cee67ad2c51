"""JWTs: only those of the right provider, for us, in time, by an algorithm that can be trusted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from headrace.access.credential import Denied
from headrace.access.jwks import REFETCH_S, Jwks
from headrace.access.jwt import JwtVerifier
from headrace.access.quotas import Quotas
from headrace.access.scopes import Action
from headrace.errors import Misconfigured

ISSUER, AUDIENCE = "https://idp.example", "headrace"
EC = ECKey.generate_key("P-256", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"})
KEYS: tuple[tuple[str, Key], ...] = (("ES256", EC), ("RS256", RSA), ("EdDSA", OKP))


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def key_set(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    write(path, EC, RSA, OKP)
    return path


@pytest.fixture
def jwks(key_set: Path, clock: Clock) -> Jwks:
    return Jwks(str(key_set), clock)


@pytest.fixture
def verifier(jwks: Jwks, clock: Clock) -> JwtVerifier:
    return JwtVerifier(jwks, issuer=ISSUER, audience=AUDIENCE, quotas=Quotas(), clock=clock)


def write(path: Path, *keys: Key) -> None:
    path.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in keys]}), "utf-8")


def claims(clock: Clock, **changed: Any) -> dict[str, Any]:
    standard = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "exp": int(clock()) + 60, "scope": "openid read:flights.*"}
    return {name: value for name, value in {**standard, **changed}.items() if value is not None}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(clock: Clock, alg: str = "ES256", key: Key = EC, kid: str | None = None, **changed: Any) -> str:
    heads = {"alg": alg, "kid": kid or key.kid}
    return jwt.encode(heads, claims(clock, **changed), key, algorithms=[alg])


@pytest.mark.parametrize(("alg", "key"), KEYS, ids=[alg for alg, _ in KEYS])
async def test_a_jwt_of_the_provider_is_taken(verifier: JwtVerifier, clock: Clock, alg: str, key: Key) -> None:
    credential = await verifier.verify(signed(clock, alg, key))
    assert credential.principal == f"jwt:{ISSUER}#me"
    assert credential.may(Action.READ, "flights.planes")
    assert not credential.may(Action.READ, "orders")
    assert credential.expires_s == int(clock()) + 60


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": None},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"iss": None},
        {"iss": "https://other.example"},
        {"aud": None},
        {"aud": "another service"},
        {"aud": ["another service"]},
        {"sub": None},
        {"nbf": 4_000_000_000},
    ],
    ids=str,
)
async def test_claims_that_do_not_hold_are_refused(
    verifier: JwtVerifier, clock: Clock, changed: dict[str, Any]
) -> None:
    with pytest.raises(Denied):
        await verifier.verify(signed(clock, **changed))


async def test_one_of_several_audiences_is_enough(verifier: JwtVerifier, clock: Clock) -> None:
    await verifier.verify(signed(clock, aud=["another service", AUDIENCE]))


async def test_expiry_has_no_leeway_also_for_a_token_that_was_taken_before(verifier: JwtVerifier, clock: Clock) -> None:
    text = signed(clock, exp=int(clock()) + 5)
    await verifier.verify(text)
    clock.now_s += 5
    with pytest.raises(Denied, match="expired"):
        await verifier.verify(text)
    with pytest.raises(Denied, match="expired"):
        await verifier.verify(text)


async def test_no_signature_is_no_signature(verifier: JwtVerifier, clock: Clock) -> None:
    head, payload, _ = signed(clock).split(".")
    none = b64(json.dumps({"alg": "none", "kid": "ec"}).encode())
    for text in (f"{none}.{payload}.", f"{none}.{payload}", f"{head}.{payload}.", f"{head}.{payload}"):
        with pytest.raises(Denied):
            await verifier.verify(text)


async def test_a_public_key_is_no_shared_secret(verifier: JwtVerifier, clock: Clock) -> None:
    head = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    signed_part = f"{head}.{b64(json.dumps(claims(clock)).encode())}"
    mac = hmac.new(RSA.as_pem(private=False), signed_part.encode(), hashlib.sha256).digest()
    text = f"{signed_part}.{b64(mac)}"
    with pytest.raises(Denied, match="alg must be"):
        await verifier.verify(text)


@pytest.mark.parametrize("alg", ["RS512", "PS256"])
async def test_other_algorithms_are_refused(verifier: JwtVerifier, clock: Clock, alg: str) -> None:
    with pytest.raises(Denied, match="alg must be"):
        await verifier.verify(signed(clock, alg, RSA))


async def test_the_algorithm_must_fit_the_key(verifier: JwtVerifier, clock: Clock) -> None:
    with pytest.raises(Denied):
        await verifier.verify(signed(clock, "ES256", EC, "rsa"))


async def test_another_key_under_the_same_id_is_refused(verifier: JwtVerifier, clock: Clock) -> None:
    other = ECKey.generate_key("P-256", {"kid": "ec"})
    with pytest.raises(Denied):
        await verifier.verify(signed(clock, key=other))


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "....", "e30.e30.e30", "\ud800", "x" * 10_000])
async def test_what_is_no_jwt_is_refused(verifier: JwtVerifier, text: str) -> None:
    with pytest.raises(Denied):
        await verifier.verify(text)


async def test_a_new_key_of_the_provider_is_looked_for_but_not_all_the_time(
    verifier: JwtVerifier, jwks: Jwks, key_set: Path, clock: Clock
) -> None:
    await jwks.refresh()
    new = ECKey.generate_key("P-256", {"kid": "new"})
    write(key_set, EC, new)
    for _ in range(5):
        with pytest.raises(Denied, match="kid"):
            await verifier.verify(signed(clock, key=new))
    assert jwks.fetches == 1

    clock.now_s += REFETCH_S
    await verifier.verify(signed(clock, key=new))
    assert jwks.fetches == 2


async def test_a_key_that_the_provider_has_taken_out_is_refused(
    verifier: JwtVerifier, jwks: Jwks, key_set: Path, clock: Clock
) -> None:
    text = signed(clock, exp=int(clock()) + 3600)
    await verifier.verify(text)
    write(key_set, RSA)
    clock.now_s += 301
    await jwks.refresh()
    with pytest.raises(Denied, match="kid"):
        await verifier.verify(text)


async def test_a_set_that_cannot_be_read_leaves_the_keys_as_they_were(
    verifier: JwtVerifier, jwks: Jwks, key_set: Path, clock: Clock
) -> None:
    await jwks.refresh()
    key_set.write_text("not JSON", "utf-8")
    clock.now_s += 301
    await jwks.refresh()
    assert jwks.fetches == 2
    await verifier.verify(signed(clock))


async def test_symmetric_and_short_keys_of_a_set_are_not_used(key_set: Path, clock: Clock) -> None:
    short = RSAKey.generate_key(1024, {"kid": "short"}).as_dict(private=False)
    shared = OctKey.import_key("a" * 32, {"kid": "shared"}).as_dict(private=True)
    for_encryption = ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"}).as_dict(private=False)
    key_set.write_text(json.dumps({"keys": [short, shared, for_encryption]}), "utf-8")
    jwks = Jwks(str(key_set), clock)
    await jwks.refresh()
    assert not jwks.loaded


@pytest.mark.parametrize("source", ["http://idp.example/jwks", "ftp://idp.example/jwks", "/nowhere/jwks.json"])
def test_keys_must_come_by_https_or_from_a_file(source: str) -> None:
    with pytest.raises(Misconfigured, match="HEADRACE_JWKS_URL"):
        Jwks(source)
