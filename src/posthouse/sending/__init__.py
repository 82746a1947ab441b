"""Sending without a daemon: ``send`` and ``asend``, to a named server or by another transport; ``submit``, which is
given everything; and delivery to the recipients' mail exchangers.
"""

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

if TYPE_CHECKING:
    from posthouse.sending.async_client import AsyncClient
    from posthouse.sending.blocking_client import Client
    from posthouse.sending.blocking_submission import submit_blocking
    from posthouse.sending.client_base import ClientBusy
    from posthouse.sending.connection.credentials import OAuthToken, TokenFunction
    from posthouse.sending.connection.proxies import ProxyRefused
    from posthouse.sending.direct import deliver_direct
    from posthouse.sending.messages.batches import verp
    from posthouse.sending.messages.message_forms import OutgoingMessage
    from posthouse.sending.messages.outgoing import Outgoing
    from posthouse.sending.one_message import asend, send
    from posthouse.sending.options import SendOptions, ServerTarget
    from posthouse.sending.pool import AsyncPool, Pool, PoolStatus, Progress, SendManyOptions
    from posthouse.sending.results import Ambiguous, SendFailed, SendResult, UnseenFailureWarning
    from posthouse.sending.server_probe import ProbeReport, probe
    from posthouse.sending.submitting import submit
    from posthouse.sending.transports import Transport
    from posthouse.sending.transports.memory import MemoryTransport, SentMessage, memory

__all__ = [
    "Ambiguous",
    "AsyncClient",
    "AsyncPool",
    "Client",
    "ClientBusy",
    "LoginDeferred",
    "LoginFailed",
    "LoginRefused",
    "MemoryTransport",
    "NoMechanism",
    "NoSuchHost",
    "OAuthToken",
    "Outgoing",
    "OutgoingMessage",
    "Pool",
    "PoolStatus",
    "ProbeReport",
    "Progress",
    "ProxyRefused",
    "SendFailed",
    "SendManyOptions",
    "SendOptions",
    "SendResult",
    "SentMessage",
    "ServerAddress",
    "ServerTarget",
    "SessionRefused",
    "TlsUnavailable",
    "TokenFunction",
    "Transport",
    "UnseenFailureWarning",
    "WrongDoor",
    "asend",
    "check_addresses",
    "deliver_direct",
    "memory",
    "parse_server",
    "probe",
    "send",
    "submit",
    "submit_blocking",
    "verp",
]

__getattr__ = lazily(
    __name__,
    {
        "async_client": "AsyncClient",
        "blocking_client": "Client",
        "blocking_submission": "submit_blocking",
        "client_base": "ClientBusy",
        "connection.credentials": "OAuthToken TokenFunction",
        "connection.proxies": "ProxyRefused",
        "direct": "deliver_direct",
        "one_message": "asend send",
        "options": "SendOptions ServerTarget",
        "messages.batches": "verp",
        "messages.message_forms": "OutgoingMessage",
        "messages.outgoing": "Outgoing",
        "pool": "AsyncPool Pool PoolStatus Progress SendManyOptions",
        "server_probe": "ProbeReport probe",
        "results": "Ambiguous SendFailed SendResult UnseenFailureWarning",
        "submitting": "submit",
        "transports": "Transport",
        "transports.memory": "MemoryTransport SentMessage memory",
    },
)
