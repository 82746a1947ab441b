"""A daemon with one listener for each way into TLS, and accounts that serve every mechanism.

``entered`` checks what each test of a login wants: the account, the mechanism, the protocol in the Received field
(RFC 3848), the content, and that no password is in any log line or transcript.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import types
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from posthouse.protocol.sasl import ScramKeys, derive_keys

from .peers import Host, behind_trace, opened

__all__ = ["ACCOUNT", "DOORS", "Door", "PASSWORD", "TOKEN", "Doors", "MESSAGE", "entered", "with_doors"]

ACCOUNT = "langrui@sohu.com"
PASSWORD = "Red=Lion+7/%@b"
TOKEN = "ya29.Token-of_the~test"
MESSAGE = (
    b"From: <langrui@sohu.com>\r\nTo: <renping@sina.com>\r\nSubject: through the door\r\n"
    b"Date: Mon, 23 Nov 2026 08:46:22 +0800\r\nMessage-ID: <1@sohu.com>\r\n\r\n.\r\nRCPT is a word, .dot\r\n..\r\n"
)
MECHANISMS = (
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "OAUTHBEARER",
    "XOAUTH2",
)
DOORS = ("clear", "starttls", "implicit")
NO_PORTS: Mapping[str, int] = MappingProxyType({})
_TEXT = """
hostname = "host.test"
accounts = "python:posthouse_test_doors:Accounts"
[[domain]]
name = "*"
mailboxes = "any"
"""
_LISTENER = """
[[listener]]
name = "{name}"
bind = "127.0.0.1:{port}"
kind = "submission"
auth = "required"
tls = "{tls}"
tls_required = {required}
mechanisms = [{mechanisms}]
"""
_SALT = b"0123456789abcdef"


def _keys(hash_name: str) -> ScramKeys:
    return derive_keys(PASSWORD, _SALT, 4096, hash_name)


class Accounts:
    """One account, which every mechanism knows."""

    def check_password(self, user: str, password: str) -> bool:
        return (user, password) == (ACCOUNT, PASSWORD)

    def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        return _keys(hash_name) if user == ACCOUNT else None

    def find_secret(self, user: str) -> str | None:
        return PASSWORD if user == ACCOUNT else None

    def check_token(self, user: str, token: str) -> str | None:
        return ACCOUNT if token == TOKEN else None

    def identities(self, user: str) -> Sequence[str] | None:
        return (ACCOUNT,)


class Door(NamedTuple):
    """One listener: its way into TLS and its port."""

    tls: str
    port: int


class Doors(NamedTuple):
    """The daemon, its listeners by their way into TLS, and the certificate that its clients trust (PEM)."""

    host: Host
    doors: dict[str, Door]
    trusted: str

    def __getitem__(self, name: str) -> Door:  # type: ignore[override]
        return self.doors[name]


@contextlib.asynccontextmanager
async def with_doors(
    data_dir: Path, mechanisms: Sequence[str] = MECHANISMS, *, more: str = "", ports: Mapping[str, int] = NO_PORTS
) -> AsyncIterator[Doors]:
    """A running daemon with the three listeners, which offer ``mechanisms``, at free ports or those in ``ports``."""
    module = types.ModuleType("posthouse_test_doors")
    module.__dict__["Accounts"] = Accounts
    quoted = ", ".join(f'"{each}"' for each in mechanisms)
    listeners = (
        _LISTENER.format(
            name=name,
            port=ports.get(name, 0),
            tls="off" if name == "clear" else name,
            required="false" if name == "clear" else "true",
            mechanisms=quoted if name != "clear" else ", ".join(f'"{m}"' for m in mechanisms if "PLUS" not in m),
        )
        for name in DOORS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        async with opened(_TEXT + more + "".join(listeners), data_dir) as host:
            doors = {name: Door(name, place.port) for name, place in host.daemon.endpoints.items()}
            yield Doors(host, doors, str(data_dir / "tls" / "self-signed.pem"))


async def entered(doors: Doors, wanted: Sequence[tuple[str, str]], *, unchanged: bool = True) -> None:
    """Each of the logins ``wanted``, in their order as (door, mechanism), brought one message."""
    host = doors.host
    logins = [(each["user"], each["mechanism"]) for each in host.logged("login")]
    assert logins == [(ACCOUNT, mechanism) for _, mechanism in wanted], logins
    messages = (await host.messages())["renping@sina.com"]
    assert len(messages) == len(wanted)
    for (door, mechanism), message in zip(wanted, messages, strict=True):
        protocol = b" with ESMTPA id " if door == "clear" else b" with ESMTPSA id "
        assert protocol in message, (door, mechanism, message)
        assert (b"\r\n\ttls " in message) == (door != "clear"), message
        if unchanged:
            assert behind_trace(message) == MESSAGE, (door, mechanism)
        else:
            assert b"\r\n.\r\nRCPT is a word, .dot\r\n..\r\n" in message, message
    secrets = [PASSWORD, TOKEN, *(base64.b64encode(each.encode()).decode() for each in (PASSWORD, TOKEN))]
    secrets.append(base64.b64encode(f"\0{ACCOUNT}\0{PASSWORD}".encode()).decode())
    said = repr(host.events)
    assert not [secret for secret in secrets if secret in said]
