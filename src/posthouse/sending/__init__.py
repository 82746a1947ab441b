"""Sending without a daemon: one message to a named server (``submit``), or to the recipients' mail exchangers."""

from typing import TYPE_CHECKING

from posthouse.client.features import check_addresses
from posthouse.client.model import (
    LoginDeferred,
    LoginFailed,
    LoginRefused,
    NoMechanism,
    SessionRefused,
    TlsUnavailable,
    WrongDoor,
)
from posthouse.client.server_url import NoSuchHost, ServerAddress, parse_server
from posthouse.core._lazy import lazily
from posthouse.sending.submit import submit

if TYPE_CHECKING:
    from posthouse.sending.direct import deliver_direct
    from posthouse.sending.probe import ProbeReport, probe

__all__ = [
    "LoginDeferred",
    "LoginFailed",
    "LoginRefused",
    "NoMechanism",
    "NoSuchHost",
    "ProbeReport",
    "ServerAddress",
    "SessionRefused",
    "TlsUnavailable",
    "WrongDoor",
    "check_addresses",
    "deliver_direct",
    "parse_server",
    "probe",
    "submit",
]

__getattr__ = lazily(__name__, {"direct": "deliver_direct", "probe": "ProbeReport probe"})
