"""Accounts by OAuth tokens: OAUTHBEARER and XOAUTH2, checked by the keys of an issuer or by asking it.

    PYTHONPATH=examples OAUTH_ISSUER=https://login.example.org OAUTH_AUDIENCE=mail \
        OAUTH_JWKS=https://login.example.org/keys posthouse run --config examples/tokens.toml

A token that is a JWT (RFC 7519) is checked here with the issuer's keys (JWKS, RFC 7517; a URL or a file).  With
``OAUTH_INTROSPECTION``, ``OAUTH_CLIENT`` and ``OAUTH_SECRET`` the issuer is asked about each token instead (RFC 7662).
The account is the e-mail address in the token.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

LEEWAY = 120.0  # seconds by which two clocks may differ (RFC 7519 §4.1.4, §4.1.5)
FRESH = 300.0  # seconds for which keys are used again
SECONDS = 10.0
LARGEST = 1_000_000


def fetch(request: str | urllib.request.Request) -> Any:
    """JSON from a URL or a file.  Whatever this raises is answered 454: the daemon does not know, and says so."""
    if isinstance(request, str) and "://" not in request:
        with open(request, "rb") as file:
            return json.load(file)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.loads(answer.read(LARGEST))


class Introspection:
    """Asks the issuer about each token."""

    def __init__(self, url: str, client: str, secret: str, audience: str) -> None:
        self.url, self.audience = url, audience
        pair = f"{urllib.parse.quote(client)}:{urllib.parse.quote(secret)}"
        self.login = "Basic " + base64.b64encode(pair.encode()).decode()

    def __call__(self, token: str) -> dict[str, Any] | None:
        form = urllib.parse.urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        claims = fetch(urllib.request.Request(self.url, form, {"Authorization": self.login}))
        if claims.get("active") is not True or not meant_for(claims, self.audience):
            return None
        return dict(claims)


class SignedTokens:
    """Checks a JWT with the issuer's keys, which are read again when they are old or do not have the token's."""

    def __init__(self, jwks: str, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self.jwks, self.issuer, self.audience, self.clock = jwks, issuer, audience, clock
        self.keys: list[dict[str, Any]] = []
        self.read = float("-inf")

    def __call__(self, token: str) -> dict[str, Any] | None:
        try:
            header, claims, signature = token.split(".")
            head, facts = json_object(header), json_object(claims)
            signed = decoded(signature)
        except ValueError:
            return None
        if "crit" in head:
            return None
        if not any(verifies(key, head, f"{header}.{claims}".encode(), signed) for key in self.keys_for(head)):
            return None
        return facts if self.is_valid(facts) else None

    def keys_for(self, head: dict[str, Any]) -> list[dict[str, Any]]:
        """The keys that the token may be signed with."""

        def found() -> list[dict[str, Any]]:
            return [key for key in self.keys if "kid" not in head or key.get("kid") == head["kid"]]

        age = self.clock() - self.read
        if age > FRESH or (not found() and age > 10.0):  # 10: who invents names of keys does not make us ask each time
            self.keys = fetch(self.jwks)["keys"]
            self.read = self.clock()
        return found()

    def is_valid(self, claims: dict[str, Any]) -> bool:
        """Times, issuer and audience.  ``nbf`` may lie before ``iat``: they are two facts, and only one is a bound."""
        now = self.clock()
        ends, begins = claims.get("exp"), claims.get("nbf", now)
        if not isinstance(ends, int | float) or not isinstance(begins, int | float):
            return False
        in_time = begins - LEEWAY <= now < ends + LEEWAY
        return in_time and claims.get("iss") == self.issuer and meant_for(claims, self.audience)


def meant_for(claims: dict[str, Any], audience: str) -> bool:
    """Whether a token is for this service, and not one that another service was given."""
    named = claims.get("aud")
    return audience in (named if isinstance(named, list) else [named])


def json_object(text: str) -> dict[str, Any]:
    """A JSON object in base64url.  Raises ``ValueError`` for anything else."""
    try:
        found: Any = json.loads(decoded(text))
    except RecursionError as error:  # anybody can send thousands of brackets: a wrong token, and no fault of the store
        raise ValueError("this is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("this is no JSON object")
    return cast("dict[str, Any]", found)


def decoded(text: str) -> bytes:
    """Base64url without padding (RFC 7515 §2)."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("this is not base64url") from error


def number(text: str) -> int:
    return int.from_bytes(decoded(text), "big")


def verifies(key: dict[str, Any], head: dict[str, Any], signed: bytes, signature: bytes) -> bool:
    """Whether ``key`` has signed this.  The key decides the algorithm, never the token alone (RFC 8725 §3.1)."""
    algorithm = head.get("alg")
    if key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
        return False
    try:
        if key.get("kty") == "RSA" and algorithm == "RS256":
            public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
            public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        if key.get("kty") == "EC" and key.get("crv") == "P-256" and algorithm == "ES256" and len(signature) == 64:
            point = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1())
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            point.public_key().verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        pass
    return False


class Accounts:
    """What the daemon asks: ``accounts = "python:tokens:Accounts"``."""

    def __init__(self) -> None:
        there = os.environ
        if "OAUTH_INTROSPECTION" in there:
            login = there["OAUTH_CLIENT"], there["OAUTH_SECRET"]
            self.check: Callable[[str], dict[str, Any] | None] = Introspection(
                there["OAUTH_INTROSPECTION"], *login, there["OAUTH_AUDIENCE"]
            )
        else:
            self.check = SignedTokens(there["OAUTH_JWKS"], there["OAUTH_ISSUER"], there["OAUTH_AUDIENCE"])

    def check_token(self, user: str, token: str) -> str | None:
        """A plain function, so it runs in a thread and may wait for the issuer."""
        claims = self.check(token)
        if claims is None or claims.get("email_verified") is False:
            return None
        email = claims.get("email")
        return email if isinstance(email, str) and "@" in email else None

    def identities(self, user: str) -> Sequence[str]:
        return [user]
