"""Examination of a mail server by a sender that sends nothing: greeting, extensions, TLS, certificate, logins.

The first session verifies the certificate.  If that fails, a second one without the check shows the rest; if TLS fails
in another way, a session in clear does.  A port that speaks TLS where the URL begins in clear, or the reverse, is
examined as what it is.  Credentials are used only where a sender would use them: never after a certificate that is not
right.
"""

from __future__ import annotations

from typing import NamedTuple

from posthouse.client.connector import connect
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS, Greeted, LoginFailed, Timeouts, WrongDoor
from posthouse.client.server_url import ServerAddress, locate
from posthouse.client.session import Session
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import CertificateRefused, LocalError, Reply, TlsFailed
from posthouse.net import Clock, Endpoint, Network, SocketNetwork, SystemClock
from posthouse.net.peer_certificate import PeerCertificate
from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol import Capabilities, Transcript

__all__ = ["ProbeReport", "probe"]


class ProbeReport(NamedTuple):
    """What a probe has found.

    ``implicit``: whether TLS begins with the first octet.  ``in_clear`` and ``inside``: the extensions before and
    inside TLS, as they were announced.  ``tls``: what was agreed on, None without TLS.  ``faults``: every reason why a
    sender would not trust the server, or not get in.  ``login``: the mechanism of a login that succeeded.
    """

    server: ServerAddress
    peer: str
    greeting: Reply
    implicit: bool
    in_clear: tuple[str, ...]
    inside: tuple[str, ...]
    capabilities: Capabilities
    in_clear_mechanisms: frozenset[str]
    tls: TlsInfo | None
    verified: bool
    faults: tuple[str, ...]
    login: str = ""

    @property
    def certificate(self) -> PeerCertificate | None:
        """The server's certificate."""
        return None if self.tls is None else self.tls.peer

    @property
    def url(self) -> str:
        """The URL by which a program should send there."""
        scheme = "lmtp" if self.server.lmtp else "smtps" if self.implicit else "smtp+starttls" if self.tls else "smtp"
        return str(self.server._replace(scheme=scheme, tls=""))


async def probe(
    server: ServerAddress,
    *,
    network: Network | None = None,
    clock: Clock | None = None,
    hostname: str = "",
    timeouts: Timeouts = INTERACTIVE_TIMEOUTS,
    transcript: Transcript | None = None,
) -> ProbeReport:
    """Examine a server.  Its certificate is verified also where the URL asks for less.

    Raises as ``submit``: for a server that cannot be reached, or that refuses the session.
    """
    examination = _Examination(
        server, network or SocketNetwork(), clock or SystemClock(), hostname, timeouts, transcript
    )
    return await examination.run()


class _Examination:
    """One probe under way."""

    def __init__(
        self,
        server: ServerAddress,
        network: Network,
        clock: Clock,
        hostname: str,
        timeouts: Timeouts,
        transcript: Transcript | None,
    ) -> None:
        self._server = server
        self._network = network
        self._clock = clock
        self._hostname = hostname or name_for_ehlo()
        self._timeouts = timeouts
        self._transcript = transcript
        self._endpoints: list[Endpoint] = []
        self._faults: list[str] = []
        self._implicit = server.mode is TlsMode.IMPLICIT

    async def run(self) -> ProbeReport:
        """Examine, and report."""
        self._endpoints = await locate(self._server, timeout=self._timeouts.connect)
        session = await self._opened()
        try:
            greeted = session.greeted
            assert greeted is not None, "a session that was opened"
            report = self._report(session, greeted)
        finally:
            await session.quit()
        return report._replace(login=await self._login(report), faults=tuple(self._faults))

    async def _opened(self) -> Session:
        """A session, with as much TLS as there is."""
        try:
            return await self._session(verify=True)
        except CertificateRefused as error:
            self._faults.append(str(error))
            return await self._session(verify=False)
        except WrongDoor as error:
            self._faults.append(str(error))
            self._implicit = not self._implicit
            return await self._opened_otherwise()
        except TlsFailed as error:
            self._faults.append(str(error))
            if self._implicit:
                raise
            return await self._connect(None)

    async def _opened_otherwise(self) -> Session:
        try:
            return await self._session(verify=True)
        except CertificateRefused as error:
            self._faults.append(str(error))
            return await self._session(verify=False)

    async def _session(self, *, verify: bool) -> Session:
        server = self._server
        mode = TlsMode.IMPLICIT if self._implicit else TlsMode.OPPORTUNISTIC
        context = client_context(verify=verify, ca=server.ca if verify else "")
        return await self._connect(TlsPolicy(mode, name=server.name, context=context))

    async def _connect(self, policy: TlsPolicy | None) -> Session:
        return await connect(
            self._endpoints,
            network=self._network,
            clock=self._clock,
            hostname=self._hostname,
            name=self._server.host,
            lmtp=self._server.lmtp,
            timeouts=self._timeouts,
            transcript=self._transcript,
            tls=policy,
        )

    def _report(self, session: Session, greeted: Greeted) -> ProbeReport:
        tls = session.tls
        before = greeted.in_clear if greeted.in_clear is not None else None if self._implicit else greeted.hello
        if tls is None and greeted.remark and not self._faults:
            self._faults.append(f"{greeted.remark}; what is sent there can be read and changed on its way")
        return ProbeReport(
            server=self._server,
            peer=session.peer,
            greeting=greeted.greeting,
            implicit=self._implicit,
            in_clear=_extensions(before),
            inside=_extensions(greeted.hello) if tls is not None else (),
            capabilities=session.capabilities,
            in_clear_mechanisms=frozenset() if before is None else Capabilities.read(before).auth,
            tls=tls,
            verified=tls is not None and tls.verified,
            faults=(),
        )

    async def _login(self, report: ProbeReport) -> str:
        """Log in as a sender would; returns the mechanism, "" if that did not succeed or was not asked for."""
        server = self._server
        login = server.login()
        if login is None:
            return ""
        if not report.verified and not server.allow_plain_text and server.tls != TlsMode.REQUIRE:
            self._faults.append(f"the login of {server.user} was not tried, because the server has not proved its name")
            return ""
        scheme = "smtps" if report.implicit else "smtp+starttls" if report.tls is not None else "smtp"
        policy = server._replace(scheme=scheme).policy() if scheme != "smtp" else None
        try:
            session = await connect(
                self._endpoints,
                network=self._network,
                clock=self._clock,
                hostname=self._hostname,
                name=server.host,
                lmtp=server.lmtp,
                timeouts=self._timeouts,
                transcript=self._transcript,
                tls=policy,
                login=login,
            )
        except (LoginFailed, LocalError) as error:
            self._faults.append(str(error))
            return ""
        found = session.login
        await session.quit()
        return "" if found is None else found.mechanism


def _extensions(hello: Reply | None) -> tuple[str, ...]:
    """The lines of a reply to EHLO behind the first."""
    return () if hello is None else tuple(line.strip() for line in hello.lines[1:] if line.strip())
