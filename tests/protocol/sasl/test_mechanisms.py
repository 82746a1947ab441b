"""The client's choice of a mechanism: the strongest that the credentials allow, and nothing shown in clear."""

from __future__ import annotations

import pytest

from posthouse.core import LocalError
from posthouse.protocol import Auth, AuthResponse
from posthouse.protocol.sasl import (
    ChannelBinding,
    CheckPassword,
    CheckToken,
    Credentials,
    DeriveKey,
    Forward,
    Say,
    ServerContext,
    choose,
    derive_keys,
)

PASSWORD = Credentials("u", "p")
TOKEN = Credentials("u", token="t")
BINDING = ChannelBinding("tls-server-end-point", b"x")
ALL = (
    "plain",
    "LOGIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "XOAUTH2",
    "EXTERNAL",
    "NTLM",
)


def names(credentials: Credentials, *, tls: bool, binding: ChannelBinding | None = None, plain: bool = False) -> str:
    chosen = choose(ALL, credentials, tls=tls, binding=binding, allow_plain_text=plain)
    return " ".join(each.name for each in chosen)


def test_strongest_first() -> None:
    assert names(PASSWORD, tls=True) == "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"
    assert names(PASSWORD, tls=True, binding=BINDING).startswith("SCRAM-SHA-256-PLUS SCRAM-SHA-256 ")
    assert names(TOKEN, tls=True) == "XOAUTH2"
    assert names(Credentials("u"), tls=True) == "EXTERNAL"


def test_no_password_in_clear_without_tls() -> None:
    assert names(PASSWORD, tls=False) == "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"
    assert names(PASSWORD, tls=False, plain=True).endswith("PLAIN LOGIN")
    with pytest.raises(LocalError, match="use TLS"):
        choose(["PLAIN", "LOGIN"], PASSWORD, tls=False)
    with pytest.raises(LocalError, match="use TLS"):
        choose(["XOAUTH2"], TOKEN, tls=False)


@pytest.mark.parametrize("offered", [[], ["NTLM"], ["XOAUTH2"], ["SCRAM-SHA-256-PLUS"]])
def test_nothing_that_fits_says_what_is_offered(offered: list[str]) -> None:
    with pytest.raises(LocalError, match=offered[0] if offered else "no mechanism"):
        choose(offered, PASSWORD, tls=True)


def test_credentials_do_not_show_their_secret() -> None:
    assert "p4ss" not in repr(Credentials("u", "p4ss"))
    assert "t0ken" not in f"{Credentials('u', token='t0ken')}"


def test_no_step_of_an_exchange_shows_its_secret() -> None:
    """Tracebacks, task names and logs show repr."""
    secret = "p4ss"
    octets = secret.encode()
    keys = derive_keys(secret, b"0123456789abcdef", 4096, "sha256")
    steps: list[object] = [
        Say(octets),
        CheckPassword("u", secret),
        CheckPassword(secret, "u"),
        CheckToken("u", secret),
        DeriveKey("sha256", secret, octets, 4096),
        Forward("PLAIN", octets),
        keys,
        ServerContext(nonce=secret, decoy_secret=octets, bindings={"x": octets}, challenge=secret),
        AuthResponse(octets),
        Auth("PLAIN", octets),
        Credentials("u", secret),
    ]
    for step in steps:
        for shown in (repr(step), f"{step}", repr([step]), repr({"step": step})):
            assert secret not in shown
            assert repr(keys.stored_key) not in shown
    assert "Auth" in repr(AuthResponse(None))
