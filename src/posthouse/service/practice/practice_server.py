"""The receiving SMTP of a practice session: the real session and directory, over a small world in memory.

The world is that of texts on SMTP: langrui@sohu.com writes to renping@sina.com.  A *door* is a listener of that world;
each has a reason to be visited.  No message leaves: what is accepted is kept in the session, the newest alone.

Verdicts come from the functions that the daemon asks too (``directory``, ``policy.recipients``, ``policy.vrfy``), and
addresses that ask for a fault (``tempfail@``, ``reply-432@``) work as they do in the catcher.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from posthouse.codes.model import Text
from posthouse.core import Address, Envelope, NetworkError, Recipient, Remark, Reply, StorageError, Verdict
from posthouse.net.tls_context import server_context
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl import Authenticated, Denied, Question, ServerContext
from posthouse.sandbox.address_faults import AddressFaults, parse_address_fault
from posthouse.sandbox.faulty_policy import Moment, Strike
from posthouse.sandbox.sandbox_certificate import sandbox_certificate
from posthouse.sandbox.sandbox_server import SandboxLogins
from posthouse.server import Answer, Intake
from posthouse.server.policy import LoginTerms
from posthouse.server.settings import Protection
from posthouse.service.config_file import parse
from posthouse.service.directory.directory import Directory
from posthouse.service.policy.logins import may_send_as
from posthouse.service.policy.recipients import recipient_verdict
from posthouse.service.policy.verdicts import TOO_LARGE
from posthouse.service.policy.vrfy import HelpPages, expand, verify

__all__ = [
    "DOORS",
    "Door",
    "LARGEST_MESSAGE",
    "MOST_RECIPIENTS",
    "PRACTICE_CONFIG",
    "PRACTICE_PASSWORD",
    "PracticeFaults",
    "PracticePolicy",
    "protection_of",
]

#: The directory of the world, as it would be configured.
PRACTICE_CONFIG: Final = """\
hostname = "mx.sina.com"

[[domain]]
name = "sina.com"
mailboxes = ["renping", "zhaolei"]
paused = ["zhaolei"]
moved = { wanghong = "wanghong@sohu.com" }
aliases = { service = ["renping"] }
lists = { friends = { members = ["renping", "zhaolei", "langrui@sohu.com"] } }

[[domain]]
name = "sina.net"
mailboxes = ["renping"]
moved = { wanghong = "wanghong@sohu.com" }
moved_action = "tell"
"""
#: The largest message in octets, the least that RFC 5321 §4.5.3.1.7 allows.
LARGEST_MESSAGE: Final = 65_536
#: Recipients of one message.  RFC 5321 §4.5.3.1.8 wants 100; here one more than that must be easily typed.
MOST_RECIPIENTS: Final = 3
#: The password of the account ``langrui`` at the door for submission.
PRACTICE_PASSWORD: Final = "peach-blossom"
#: The account whose data cannot be read, so that logging in is answered 454.
_BROKEN_ACCOUNT: Final = "broken"
#: Seconds that a fault of an address may take here.
_LONGEST_DELAY: Final = 3.0


class Door(NamedTuple):
    """A listener of the practice world.

    Args:
        title: What it is.
        hint: What can be seen here and not at the others.
        hostname: The name in its greeting.
        lmtp: It speaks LMTP.
        submission: It takes mail of its own users for anywhere, after STARTTLS and AUTH.
        greeting: The opening reply; without one, 220.
    """

    name: str
    title: Text
    hint: Text
    hostname: str = "mx.sina.com"
    lmtp: bool = False
    submission: bool = False
    greeting: Reply | None = None


#: The doors by name; the first is the usual one.
DOORS: Final[Mapping[str, Door]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Door(
                "mx",
                Text("Mail exchanger of sina.com, port 25", "sina.com 的邮件交换主机，端口 25"),
                Text("Takes mail for its own domains from everybody.", "接受任何人发往本域的邮件。"),
            ),
            Door(
                "submission",
                Text("Submission server of sohu.com, port 587", "sohu.com 的提交服务器，端口 587"),
                Text(
                    f"Sends anywhere for langrui (password {PRACTICE_PASSWORD}), after STARTTLS and AUTH.",
                    f"langrui（密码 {PRACTICE_PASSWORD}）在 STARTTLS 和 AUTH 之后，可经它发往任何地方。",
                ),
                hostname="mx.sohu.com",
                submission=True,
            ),
            Door(
                "lmtp",
                Text("Mailboxes behind sina.com, LMTP", "sina.com 身后的邮箱系统，LMTP"),
                Text(
                    "Begins with LHLO; after the content each recipient has a reply.",
                    "以 LHLO 开始；内容结束后，每位收件人各有一个应答。",
                ),
                lmtp=True,
            ),
            Door(
                "closed",
                Text("A host that takes no mail", "不接收邮件的主机"),
                Text("Greets with 521.", "以 521 问候。"),
                hostname="www.sina.com",
                greeting=Reply(521, "", "www.sina.com takes no mail"),
            ),
            Door(
                "busy",
                Text("A host with too many connections", "连接过多的主机"),
                Text("Greets with 421 and closes.", "以 421 问候，随即关闭连接。"),
                greeting=Reply(421, "4.3.2", "mx.sina.com has too many connections; try again later"),
            ),
        )
    }
)

_DIRECTORY: Final = Directory(parse(PRACTICE_CONFIG))
_RECIPIENT_OK: Final = Verdict(Reply(250, "2.1.5", "Recipient OK"))
_SENDER_OK: Final = Verdict(Reply(250, "2.1.0", "Sender OK"))
_LOGGED_IN: Final = Verdict(Reply(235, "2.7.0", "Authentication successful"))
_LOGIN_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Authentication required"))
_TLS_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Must issue a STARTTLS command first"))
_NOT_YOURS: Final = Verdict(Reply(553, "5.7.1", "The account may not send as this address"))
_IDENTITIES: Final = ("langrui@sohu.com",)


class _PracticeLogins(LoginTerms):
    """The account langrui, and one whose data cannot be read."""

    def __init__(self) -> None:
        self._terms = SandboxLogins({"langrui": PRACTICE_PASSWORD})

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        return ("PLAIN", "LOGIN")

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        return ServerContext(
            nonce=secrets.token_urlsafe(18),
            decoy_secret=b"practice",
            bindings=bindings,
            offered=offered,
            identity=identity,
            challenge="",
        )

    async def answer(self, question: Question) -> Any:
        if getattr(question, "user", "") == _BROKEN_ACCOUNT:
            raise StorageError("the account of the practice world that cannot be read")
        return await self._terms.answer(question)


def protection_of(door: Door) -> Protection:
    """STARTTLS, and at a door for submission AUTH inside it.  Raises ``SettingError`` if no certificate can be made."""
    context = server_context(sandbox_certificate())
    return Protection(lambda: context, login=_PracticeLogins() if door.submission else None, tls_required=True)


class PracticeFaults:
    """The faults that addresses ask for, none of which takes longer than 3 s; a ``FaultSource``."""

    by_recipient = True

    def __init__(self) -> None:
        self._faults = AddressFaults()

    def strike(self, moment: Moment) -> Strike | None:
        found = self._faults.strike(moment)
        return None if found is None else found._replace(delay=min(found.delay, _LONGEST_DELAY))

    def watches(self, stage: str, recipients: Sequence[Address] = ()) -> bool:
        return self._faults.watches(stage, recipients)


class PracticePolicy:
    """The policy of one practice session.

    ``taken`` is given each message that was accepted; ``secured`` is called when TLS is up.
    """

    def __init__(self, door: Door, taken: Callable[[Envelope, bytes], object], secured: Callable[[], object]) -> None:
        self._door = door
        self._taken = taken
        self._secured = secured
        self._tls = False
        self._user = ""
        self._help = HelpPages(lmtp=door.lmtp, vrfy=True, expn=True, starttls=True, auth=door.submission)

    def connected(self) -> Answer:
        door = self._door
        kind = "LMTP" if door.lmtp else "ESMTP"
        return Verdict(door.greeting or Reply(220, "", f"{door.hostname} {kind} Posthouse (practice)"))

    def greeted(self, greet: Greet) -> Answer:
        return Verdict(Reply(250, "", f"{self._door.hostname} greets {greet.domain}"))

    def mail(self, mail: Mail) -> Answer:
        if self._door.submission:
            if not self._user:
                return _LOGIN_NEEDED if self._tls else _TLS_NEEDED
            if not may_send_as(mail.sender, _IDENTITIES):
                return _NOT_YOURS
        return TOO_LARGE if (mail.size or 0) > LARGEST_MESSAGE else _SENDER_OK

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        if parse_address_fault(rcpt.address.local) is not None:
            return _RECIPIENT_OK  # which the fault replaces
        return recipient_verdict(_DIRECTORY.resolve(rcpt.address), relays=bool(self._user), utf8=envelope.smtputf8)

    def verify(self, text: str) -> Answer:
        return verify(_DIRECTORY, text)

    def expand(self, text: str) -> Answer:
        return expand(_DIRECTORY, text)

    def help(self, topic: str) -> Answer:
        return self._help.on(topic)

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        return _PracticeIntake(self._door, envelope, self._taken)

    def refused(self, what: str, reply: Reply) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def tls_started(self, info: TlsInfo) -> None:
        self._tls, self._user = True, ""
        self._secured()

    def tls_failed(self, error: NetworkError) -> None:
        pass

    def logged_in(self, outcome: Authenticated) -> Answer:
        self._user = outcome.user
        return _LOGGED_IN

    def login_denied(self, outcome: Denied) -> Answer:
        return Verdict(outcome.reply, outcome.reason)


class _PracticeIntake:
    """The intake of one message."""

    def __init__(self, door: Door, envelope: Envelope, taken: Callable[[Envelope, bytes], object]) -> None:
        self._door = door
        self._envelope = envelope
        self._taken = taken
        self._content = bytearray()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= LARGEST_MESSAGE:
            self._content += chunk

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        pass

    def commit(self) -> tuple[Verdict, ...]:
        count = len(self._envelope.recipients) if self._door.lmtp else 1
        if self._size > LARGEST_MESSAGE:
            return (TOO_LARGE,) * count
        self._taken(self._envelope, bytes(self._content))
        return (
            Verdict(Reply(250, "2.0.0", f"OK, {self._size} octets; this practice server keeps them to itself")),
        ) * count

    def abort(self) -> None:
        self._content.clear()
