"""What a handler may know of the session in which a message came."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.net.tls_engine import TlsInfo

__all__ = ["SessionInfo"]


class SessionInfo(NamedTuple):
    """The session of a message.

    Args:
        host: The client's IP address, "" for a unix socket, and for a message that came out of a queue.
        port: The client's port.
        helo: The name that the client gave in HELO, EHLO or LHLO (RFC 5321 §4.1.1.1); anyone can give any.
        protocol: ``SMTP`` after HELO, ``ESMTP`` after EHLO, ``LMTP`` after LHLO; ``queue`` out of a queue.
        tls: What was agreed on with TLS, None in clear.
        login: The account that has logged in, "" if none has.
    """

    host: str = ""
    port: int = 0
    helo: str = ""
    protocol: str = "queue"
    tls: TlsInfo | None = None
    login: str = ""
