"""The dialogue that opens a session, without I/O: greeting, EHLO, STARTTLS, EHLO again inside TLS, AUTH.

``greet`` is a generator of steps.  A channel with an event loop and one over a blocking socket carry them out, so both
say the same.  Nothing that was learnt before TLS counts afterwards (RFC 3207 §4.2): the second EHLO is always sent, and
its reply alone says what the peer offers.  Where TLS is required and does not come about, QUIT is the only command that
may follow.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from posthouse.client.hostname import literal_of
from posthouse.client.model import (
    CommandStep,
    Greeted,
    HandshakeStep,
    SessionRefused,
    SilenceStep,
    Step,
    TlsNotOffered,
    TlsRefused,
)
from posthouse.client.pipeline import Pipeline, say
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Reply
from posthouse.protocol import Greet, StartTls

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.net.tls_engine import TlsInfo

__all__ = ["Opening", "greet"]


Opening = Generator[Step, Any, Greeted]


def greet(
    channel: Pipeline, hostname: str, tls: TlsPolicy | None = None, login: LoginSettings | None = None
) -> Opening:
    """Await the greeting, send EHLO, or HELO to a peer that refuses EHLO (RFC 5321 §3.2, §4.1.4), begin TLS and log in.

    ``hostname`` is the argument of EHLO and HELO, "" for the address literal of this end.  ``tls`` None is a session in
    clear, ``login`` None one without a login.  Raises ``SessionRefused``, ``TlsUnavailable`` or ``LoginFailed``.
    """
    timeouts = channel.timeouts
    implicit = tls is not None and tls.mode is TlsMode.IMPLICIT
    info: TlsInfo | None = None
    remark = ""
    in_clear: Reply | None = None
    if tls is not None and implicit:
        info = yield HandshakeStep(tls, True)
    elif timeouts.patience and channel.address.port not in (0, 25):  # 25 never speaks TLS, and many greet late there
        yield SilenceStep(timeouts.patience)
    greeting: Reply = yield CommandStep(b"", timeouts.greeting, "the connection (no greeting)")
    if not greeting.positive:
        raise SessionRefused(f"{channel.peer} refused the session: {greeting}", greeting)
    hostname = hostname or literal_of(channel.local_host)
    hello = yield from _hello(channel, hostname)
    if tls is not None and tls.starttls:
        remark, refusal = yield from _starttls(channel, tls)
        if not remark:
            in_clear = hello
            info = yield HandshakeStep(tls, False)
            hello = yield from _hello(channel, hostname)
        elif refusal is not None and (tls.required or (not refusal.positive and refusal.code == 421)):
            raise TlsRefused(remark, refusal)
        elif tls.required:
            raise TlsNotOffered(remark)
    if info is not None and tls is not None:
        remark = _unproved(channel, tls, info)
    logged_in = None
    if login is not None:
        from posthouse.client.auth import log_in  # imports the mechanisms

        logged_in = yield from log_in(channel, login, info)
    return Greeted(greeting, hello, in_clear, info, remark, logged_in)


def _hello(channel: Pipeline, hostname: str) -> Generator[Step, Any, Reply]:
    verb = "LHLO" if channel.sender.lmtp else "EHLO"
    hello: Reply = yield say(channel, Greet(verb, hostname))
    if hello.permanent and verb == "EHLO":
        verb = "HELO"
        hello = yield say(channel, Greet(verb, hostname))
    if not hello.positive:
        raise SessionRefused(f"{channel.peer} refused {verb}: {hello}", hello)
    return hello


def _starttls(channel: Pipeline, tls: TlsPolicy) -> Generator[Step, Any, tuple[str, Reply | None]]:
    """Say STARTTLS; returns why TLS does not come about ("" if it does), and the reply that refused it."""
    if "STARTTLS" not in channel.sender.capabilities.keywords:
        why = f"{channel.peer} does not offer STARTTLS"
        if tls.required:
            why += ", and this session must not go on in clear; something between may have taken the offer out"
        return why, None
    reply: Reply = yield say(channel, StartTls())
    if reply.code == 220:  # RFC 3207 §4 knows no other reply that agrees
        return "", None
    return f"{channel.peer} refused STARTTLS: {reply}", reply


def _unproved(channel: Pipeline, tls: TlsPolicy, info: TlsInfo) -> str:
    """Why the certificate proves nothing; "" if it does."""
    if info.verified:
        return ""
    from posthouse.net.peer_certificate import faults_of

    if info.peer is None:
        return "the certificate was not verified"
    faults = faults_of(info.peer, tls.name_for(channel.host))
    return "the certificate was not verified" + (f"; it {'; it '.join(faults)}" if faults else "")
