"""Observation of a session from outside: its other end, its TLS, its dialogue.

These are no methods of the session, which has enough of them; the fields that they read are set nowhere else.
"""

from __future__ import annotations

from posthouse.net import Endpoint
from posthouse.net.tls import TlsStream
from posthouse.net.tls_engine import tls_text
from posthouse.protocol import State, Transcript
from posthouse.server.session import ServerSession

__all__ = ["peer_of", "record", "tls_of"]


def peer_of(session: ServerSession) -> Endpoint | None:
    """The other end of a session's channel; None before there is one."""
    return None if session._stream is None else session._stream.peer


def tls_of(session: ServerSession) -> str:
    """The version and cipher suite of a session's TLS, and whose certificate the client has proved; "" in clear."""
    stream = session._stream
    if not isinstance(stream, TlsStream) or stream.info is None:
        return ""
    info = stream.info
    return tls_text(info.version, info.cipher, info.client_name)


def record(session: ServerSession, transcript: Transcript | None) -> None:
    """Write the dialogue to ``transcript`` from now on, None to end that; a transcript must not call it."""
    receiver = session._receiver
    # AUTH may have been said where it was not recorded.
    receiver._auth_said = receiver._auth_said or receiver.state is not State.CONNECTED
    receiver._transcript = transcript
