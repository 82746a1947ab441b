"""The example of accounts by OAuth tokens: what is signed, for whom, and when it is valid; and a daemon with it."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from posthouse.core import StorageError
from posthouse.service.accounts import OwnAccounts
from posthouse.service.config_file import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOW = 1_700_000_000.0
RSA_KEY = rsa.generate_private_key(65_537, 2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {
    "iss": "https://login.test",
    "aud": "mail",
    "exp": NOW + 600,
    "iat": NOW,
    "email": "ann@x.test",
}


@pytest.fixture(scope="module")
def tokens() -> Any:
    found = importlib.util.spec_from_file_location("posthouse_example_tokens", EXAMPLES / "tokens.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def octets(number: int) -> str:
    return url64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def keys() -> list[dict[str, str]]:
    of_rsa, of_ec = RSA_KEY.public_key().public_numbers(), EC_KEY.public_key().public_numbers()
    point = {"x": url64(of_ec.x.to_bytes(32, "big")), "y": url64(of_ec.y.to_bytes(32, "big"))}
    return [
        {"kty": "RSA", "kid": "1", "use": "sig", "n": octets(of_rsa.n), "e": octets(of_rsa.e)},
        {"kty": "EC", "kid": "2", "alg": "ES256", "crv": "P-256", **point},
    ]


def signed(claims: dict[str, Any], algorithm: str = "RS256", kid: str = "", **head: Any) -> str:
    header = {"alg": algorithm, "kid": kid or ("2" if algorithm == "ES256" else "1"), **head}
    text = f"{url64(json.dumps(header).encode())}.{url64(json.dumps(claims).encode())}"
    if algorithm == "ES256":
        r, s = utils.decode_dss_signature(EC_KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{url64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    if algorithm == "none":
        return f"{text}."
    return f"{text}.{url64(RSA_KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@pytest.fixture
def check(tokens: Any, tmp_path: Path) -> Any:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys()}))
    return tokens.SignedTokens(str(tmp_path / "keys.json"), "https://login.test", "mail", clock=lambda: NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other", "mail"]},
        {"nbf": NOW - 60, "iat": NOW},  # nbf before iat
        {"nbf": NOW + 60},  # clocks 60 s apart
        {"exp": NOW - 60},
        {"iat": NOW + 60},
    ],
)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_that_is_valid(check: Any, changes: dict[str, Any], algorithm: str) -> None:
    assert check(signed(CLAIMS | changes, algorithm))["email"] == "ann@x.test"


@pytest.mark.parametrize(
    "changes", [{"iss": "https://evil.test"}, {"aud": "other"}, {"aud": None}, {"exp": NOW - 600}, {"nbf": NOW + 600}]
)
def test_a_token_for_another_or_out_of_time(check: Any, changes: dict[str, Any]) -> None:
    assert check(signed(CLAIMS | changes)) is None


def test_what_the_issuer_did_not_sign(check: Any) -> None:
    good = signed(CLAIMS)
    head, claims, signature = good.split(".")
    forged = url64(json.dumps(CLAIMS | {"email": "boss@x.test"}).encode())
    for token in (
        f"{head}.{forged}.{signature}",
        f"{head}.{claims}.",
        signed(CLAIMS, "none"),
        signed(CLAIMS, "HS256"),
        signed(CLAIMS, "RS256", kid="2"),
        signed(CLAIMS, "RS256", kid="unknown"),
        signed(CLAIMS, "RS256", crit=["x"]),
        good[:-4],
        good + ".x",
        f"{url64(b'[' * 3_000)}.{claims}.{signature}",
        "x",
        "...",
        "",
        "\u00e9.\u00e9.\u00e9",
    ):
        assert check(token) is None


def test_keys_that_cannot_be_read_are_no_wrong_token(tokens: Any, tmp_path: Path) -> None:
    """Then the reply is 454: nobody knows whether the token is valid."""
    code = tokens.Accounts.__new__(tokens.Accounts)
    code.check = tokens.SignedTokens(str(tmp_path / "none.json"), "https://login.test", "mail")
    store = OwnAccounts(code, name="tokens:Accounts")
    assert set(store.mechanisms) == {"OAUTHBEARER", "XOAUTH2"}
    with pytest.raises(StorageError):
        asyncio.run(store.check_token("", signed(CLAIMS)))


class OAuthIssuer(BaseHTTPRequestHandler):
    """An issuer that is asked about tokens."""

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        known = self.headers["Authorization"] == "Basic " + base64.b64encode(b"posthouse:s3cret").decode()
        answer = {"active": known and form["token"] == ["good"], "aud": "mail", "email": "ann@x.test"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def issuer() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), OAuthIssuer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/introspect"
        finally:
            server.shutdown()
            thread.join()


def test_the_issuer_is_asked(tokens: Any, issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    for name, value in (("INTROSPECTION", issuer), ("CLIENT", "posthouse"), ("SECRET", "s3cret"), ("AUDIENCE", "mail")):
        monkeypatch.setenv(f"OAUTH_{name}", value)
    accounts = tokens.Accounts()
    assert accounts.check_token("", "good") == "ann@x.test"
    assert accounts.check_token("", "bad") is None
    monkeypatch.setenv("OAUTH_AUDIENCE", "another")
    assert tokens.Accounts().check_token("", "good") is None


def test_the_configuration_of_the_example_is_valid() -> None:
    assert str(load(EXAMPLES / "tokens.toml").accounts) == "python:tokens:Accounts"
