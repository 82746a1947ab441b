"""The commands of SMTP as values (RFC 5321 §4.1, and the extensions' parameters).

A command is read from a line (``parse_command``) by the receiving SMTP and written to one (``write_command``) by the
sending SMTP; both roles share the value in between, so what we send is by construction what we can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posthouse.words import Address, Body, Notify, OriginalRecipient, Ret

__all__ = [
    "Auth",
    "Bdat",
    "Command",
    "Data",
    "Expn",
    "Greet",
    "Help",
    "Mail",
    "Noop",
    "Quit",
    "Rcpt",
    "Rset",
    "StartTls",
    "Vrfy",
]


@dataclass(frozen=True, slots=True)
class Greet:
    """HELO, EHLO or LHLO: ``verb`` in upper case; ``domain`` as the client named itself (domain or literal)."""

    verb: str
    domain: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM; see ``words.Envelope`` for the parameters' meaning.  ``sender`` is None for ``<>``."""

    sender: Address | None
    size: int | None = None
    body: Body = Body.SEVENBIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False

    verb: ClassVar[str] = "MAIL"


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO; see ``words.Recipient``."""

    address: Address
    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None

    verb: ClassVar[str] = "RCPT"


@dataclass(frozen=True, slots=True)
class Data:
    """DATA."""

    verb: ClassVar[str] = "DATA"


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT (RFC 3030 §2): ``size`` octets follow the line; ``last`` ends the message."""

    size: int
    last: bool = False

    verb: ClassVar[str] = "BDAT"


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET."""

    verb: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP, with the string that may follow it."""

    text: str = ""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""

    verb: ClassVar[str] = "QUIT"


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY and whom; ``smtputf8`` if the parameter of RFC 6531 §3.7.4.2 was given (then replies may be UTF-8)."""

    text: str
    smtputf8: bool = False

    verb: ClassVar[str] = "VRFY"


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN and which list; ``smtputf8`` as for VRFY."""

    text: str
    smtputf8: bool = False

    verb: ClassVar[str] = "EXPN"


@dataclass(frozen=True, slots=True)
class Help:
    """HELP, with a topic or ""."""

    topic: str = ""

    verb: ClassVar[str] = "HELP"


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207)."""

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH (RFC 4954): ``initial`` is the decoded initial response, b"" for ``=``, None if none was given."""

    mechanism: str
    initial: bytes | None = None

    verb: ClassVar[str] = "AUTH"


Command = Greet | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | StartTls | Auth
