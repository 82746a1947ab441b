"""Sandbox for tests: an SMTP server in this process, whose messages, sessions and faults a test has at hand.

    with Sandbox() as sandbox:
        program_under_test(sandbox.host, sandbox.port)
        message = sandbox.wait_for(to="ann@example.com", subject="Your code*")
        assert message.code == "471102"

The server runs on an event loop of its own in a thread of its own, so that the program under test may block, await or
run elsewhere.  The system chooses the port, and the socket listens before ``start`` returns, so that tests may run side
by side.  ``stop`` cuts what is open and ends the thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Literal, Self, Unpack
from urllib.parse import quote

from posthouse.core import LocalError
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Offer
from posthouse.sandbox.background import BackgroundServer
from posthouse.sandbox.caught_message import CaughtMessage, SandboxSession
from posthouse.sandbox.conditions import Conditions, WantedMessage, report
from posthouse.sandbox.mail_store import MailStore
from posthouse.sandbox.program_settings import ProgramSettings
from posthouse.sandbox.sandbox_certificate import sandbox_certificate
from posthouse.sandbox.sandbox_server import SandboxLogins, SandboxServer
from posthouse.sandbox.staged_faults import Fault, StagedFaults
from posthouse.sandbox.wildcards import Wanted
from posthouse.server.settings import Protection

__all__ = ["NotSent", "Sandbox", "SandboxAuth", "SandboxTls"]

#: TLS of a sandbox: none; STARTTLS offered; STARTTLS, and no mail and no login before it; TLS from the first octet.
SandboxTls = Literal["off", "starttls", "required", "implicit"]
#: Logging in to a sandbox: impossible, possible, or needed for mail.
SandboxAuth = Literal["off", "offered", "required"]

_HOSTNAME: Final = "sandbox.test"
#: Lines of the last session in a failure's text.
_LAST_LINES: Final = 12


class NotSent(AssertionError, TimeoutError):
    """A message that a test expects is not there, or one is there that it does not expect."""


class Sandbox:
    """An SMTP server for a test.

    Args:
        tls: ``off``, ``starttls``, ``required`` (STARTTLS before mail and logins) or ``implicit``.
        auth: ``off``, ``offered`` or ``required``.
        users: Names and passwords (or OAuth tokens) that may log in; without them any name and password may.
        host: The address of this machine to listen at.
        port: 0 for one that the system chooses.
        lmtp: Speak LMTP: one reply for each recipient.
        lenient: Accept what a strict server refuses, such as bare LF; ``message.remarks`` tells of it.
        offer: The extensions that EHLO announces, apart from STARTTLS and AUTH; without it, all.
        certificate: A file with certificate and key (PEM) in place of one that is made for this process.
        max_messages: Messages kept; more are answered 452.
        max_size: Octets of one message; larger ones are answered 552.
        max_octets: Octets of all messages; more are answered 452.
    """

    def __init__(
        self,
        *,
        tls: SandboxTls = "off",
        auth: SandboxAuth = "offered",
        users: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        lmtp: bool = False,
        lenient: bool = True,
        offer: Offer | None = None,
        certificate: str | os.PathLike[str] = "",
        max_messages: int = 10_000,
        max_size: int = 64 * 1024 * 1024,
        max_octets: int = 256 * 1024 * 1024,
    ) -> None:
        _one_of("tls", tls, ("off", "starttls", "required", "implicit"))
        _one_of("auth", auth, ("off", "offered", "required"))
        if lmtp and tls == "implicit":
            raise LocalError("LMTP has no TLS from the first octet; write tls='starttls'")
        self.tls: SandboxTls = tls
        self.auth: SandboxAuth = auth
        #: Whether it speaks LMTP.
        self.lmtp = lmtp
        self._users = dict(users or {})
        self._where = Endpoint(host, port)
        self._lenient = lenient
        self._max_size = max_size
        self._offer = offer or Offer(size=max_size, limits=(("RCPTMAX", 10_000),))
        self._certificate = os.fspath(certificate)
        self._store = MailStore(max_messages, max_octets)
        self._faults = StagedFaults()
        self._errors: list[BaseException] = []
        self._background = BackgroundServer(self._make)

    # -- start and stop ------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; returns the sandbox.  Raises ``SettingError`` if that is not possible."""
        self._background.start(self._where)
        return self

    def stop(self) -> None:
        """Cut all connections, and end; messages and sessions stay to be looked at.  A second call does nothing.

        Raises the exception of the sandbox's own code, if there was one.
        """
        self._background.stop()
        if self._errors:
            raise self._errors[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()  # which takes about a millisecond

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make(self) -> SandboxServer:
        login = None if self.auth == "off" else SandboxLogins(self._users)
        protection = None if login is None else Protection(None, False, login)
        if self.tls != "off":
            from posthouse.net.tls_context import server_context  # imports ssl

            context = server_context(self.certificate)
            needed = self.tls in ("required", "implicit")
            protection = Protection(lambda: context, self.tls == "implicit", login, needed)
        return SandboxServer(
            self._store,
            self._faults,
            network=SocketNetwork(on_error=lambda error: _note(self._errors, error)),
            clock=SystemClock(),
            hostname=_HOSTNAME,
            offer=self._offer,
            lmtp=self.lmtp,
            lenient=self._lenient,
            max_size=self._max_size,
            protection=protection,
            login_required=self.auth == "required",
            on_error=self._errors.append,
        )

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address to connect to."""
        return self._where.host

    @property
    def port(self) -> int:
        """The port to connect to.  Raises ``LocalError`` before ``start``."""
        place = self._background.place
        if place is None:
            raise LocalError("the sandbox has not been started; write `with Sandbox() as sandbox:`")
        return place.port

    @property
    def username(self) -> str:
        """A name that may log in."""
        return next(iter(self._users), "sandbox")

    @property
    def password(self) -> str:
        """The password of ``username``."""
        return self._users.get(self.username, "sandbox")

    @property
    def certificate(self) -> str:
        """The path of the certificate (PEM) that a client has to trust, "" without TLS."""
        if self.tls != "off" and not self._certificate:
            self._certificate = sandbox_certificate()
        return self._certificate if self.tls != "off" else ""

    @property
    def url(self) -> str:
        """The server as ``posthouse.send`` takes it: scheme, place, certificate, and where it is needed the login."""
        scheme = {"off": "smtp", "starttls": "smtp+starttls", "required": "smtp+starttls", "implicit": "smtps"}[
            self.tls
        ]
        parameters = []
        if self.tls != "off":
            parameters.append(f"ca={quote(self.certificate)}")
        if self.lmtp:
            scheme = "lmtp"
            if self.tls != "off":
                parameters.insert(0, "tls=verify")
        login = ""
        if self.auth == "required":
            login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
            if self.tls == "off":
                parameters.append("allow_plain_text=true")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port}{'?' if parameters else ''}{'&'.join(parameters)}"

    @property
    def settings(self) -> ProgramSettings:
        """The settings by which programs find this sandbox; ``settings.in_place()`` sets them for a while."""
        return ProgramSettings(self)

    def __repr__(self) -> str:
        return f"<sandbox {self._background.place or 'not started'}: {len(self._store.messages)} messages>"

    # -- what came -----------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> tuple[CaughtMessage, ...]:
        """The messages that were taken, in their order."""
        return self._store.messages

    @property
    def sessions(self) -> tuple[SandboxSession, ...]:
        """The newest 1,000 sessions, those without a message too, in their order."""
        server = self._background.server
        return () if server is None else server.kept

    @property
    def transcript(self) -> str:
        """The dialogues of these sessions as text."""
        return "\n\n".join(f"session {each.number}:\n{each.transcript}" for each in self.sessions)

    def clear(self) -> None:
        """Forget the messages; sessions and faults stay."""
        self._store.clear()

    def wait_for(self, *, timeout: float = 30.0, **wanted: Unpack[WantedMessage]) -> CaughtMessage:
        """The next message that is wanted, as soon as it is there.

        A second call with the same conditions gives the next such message.  ``timeout`` is in seconds.

        Raises:
            NotSent: None came in time; its text lists what came, and which condition each message missed.
            LocalError: An event loop runs in this thread and would stop: ``await_for`` does not stop it.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        conditions = Conditions(wanted)
        found = self._store.wait_next(conditions, timeout)
        if found is None:
            raise NotSent(f"No message came within {timeout:g} s{_with(conditions)}.\n{self._report(conditions)}")
        return found

    async def await_for(self, *, timeout: float = 30.0, **wanted: Unpack[WantedMessage]) -> CaughtMessage:
        """``wait_for``, awaited, on asyncio."""
        __tracebackhide__ = True  # pytest shows the line of the test
        conditions = Conditions(wanted)
        found = await self._store.await_next(conditions, timeout)
        if found is None:
            raise NotSent(f"No message came within {timeout:g} s{_with(conditions)}.\n{self._report(conditions)}")
        return found

    def expect_none(self, within: float = 0.5, **wanted: Unpack[WantedMessage]) -> None:
        """Watch for ``within`` seconds that no such message comes.

        A message that ``wait_for`` or ``assert_sent`` has returned is expected.  Any other is not, even if it came
        before this call.  Raises ``NotSent`` as soon as there is one.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        conditions = Conditions(wanted)
        _none(self._store.wait_unexpected(conditions, within), conditions)

    async def await_none(self, within: float = 0.5, **wanted: Unpack[WantedMessage]) -> None:
        """``expect_none``, awaited, on asyncio."""
        __tracebackhide__ = True  # pytest shows the line of the test
        conditions = Conditions(wanted)
        _none(await self._store.await_unexpected(conditions, within), conditions)

    def assert_sent(self, *, count: int | None = None, **wanted: Unpack[WantedMessage]) -> CaughtMessage:
        """The first message that is wanted and has come by now; with ``count``, there must be so many.

        Raises ``NotSent``, whose text lists what came, and which condition each message missed.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        if count is not None and count < 1:
            raise LocalError("assert_sent(count=…) wants 1 or more; assert_not_sent is for none")
        conditions = Conditions(wanted)
        found = self._store.all(conditions)
        if not found:
            raise NotSent(f"No message was sent{_with(conditions)}.\n{self._report(conditions)}")
        if count is not None and len(found) != count:
            raise NotSent(
                f"{len(found)} messages were sent{_with(conditions)}, not {count}.\n{self._report(conditions)}"
            )
        return found[0]

    def assert_not_sent(self, **wanted: Unpack[WantedMessage]) -> None:
        """No message that is wanted has come by now.  Raises ``NotSent``."""
        __tracebackhide__ = True  # pytest shows the line of the test
        conditions = Conditions(wanted)
        _none([each for each in self.messages if conditions.met_by(each)], conditions)

    def _report(self, conditions: Conditions) -> str:
        """What came instead; where nothing came, how the last session went."""
        messages, sessions = self.messages, self.sessions
        text = report(messages, conditions)
        if messages:
            return text
        if not sessions:
            return f"{text} No client has connected to {self._background.place}."
        last = sessions[-1].lines[-_LAST_LINES:]
        count = "1 client" if len(sessions) == 1 else f"{len(sessions):,} clients"
        return "\n".join((f"{text} {count} connected; the last session ended so:", *last))

    # -- faults --------------------------------------------------------------------------------------------------------

    def on(
        self,
        stage: str,
        *,
        to: Wanted | None = None,
        sender: Wanted | None = None,
        user: Wanted | None = None,
    ) -> Fault:
        """A fault at a stage of the sessions from now on; its methods say what it does.

        Stages: ``connect``, ``helo``, ``auth``, ``mail``, ``rcpt``, ``data`` (before the content), ``end`` (behind it).
        ``to`` is the recipient of RCPT; at ``data`` and ``end``, one of the recipients.  Of several faults that match
        the newest strikes.  Raises ``LocalError``.
        """
        return self._faults.on(stage, to=to, sender=sender, user=user)

    def clear_faults(self) -> None:
        """End all faults."""
        self._faults.clear()

    def cut_connections(self) -> None:
        """Cut all open connections, without a word; returns when it is done."""
        self._background.cut()


def _none(found: list[CaughtMessage], conditions: Conditions) -> None:
    __tracebackhide__ = True
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise NotSent(f"A message came{_with(conditions)}, and none was expected: {found[0]!r}{more}")


def _note(errors: list[BaseException], error: BaseException) -> None:
    if not isinstance(error, OSError):  # that is a client which has gone at once
        errors.append(error)


def _with(conditions: Conditions) -> str:
    text = str(conditions)
    return f" with {text}" if text else ""


def _one_of(name: str, given: str, words: tuple[str, ...]) -> None:
    if given not in words:
        raise LocalError(f"{name} is {given!r}; it can be {', '.join(map(repr, words))}")
