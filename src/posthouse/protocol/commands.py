"""The commands of SMTP as values (RFC 5321 §4.1, and the extensions' parameters).

A command is read from a line (``parse_command``) by the receiving SMTP and written to one (``write_command``) by the
sending SMTP; both roles share the value in between, so what we send is by construction what we can read.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Greet(NamedTuple):
    """HELO, EHLO or LHLO: ``verb`` in upper case; ``domain`` as the client named itself (domain or literal)."""

    verb: str
    domain: str


class Mail(NamedTuple):
    """MAIL FROM; see ``words.Envelope`` for the parameters' meaning.  ``sender`` is None for ``<>``."""

    sender: Address | None
    size: int | None = None
    body: Body = Body.SEVENBIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False

    verb = "MAIL"


class Rcpt(NamedTuple):
    """RCPT TO; see ``words.Recipient``."""

    address: Address
    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None

    verb = "RCPT"


class Data(NamedTuple):
    """DATA."""

    verb = "DATA"


class Bdat(NamedTuple):
    """BDAT (RFC 3030 §2): ``size`` octets follow the line; ``last`` ends the message."""

    size: int
    last: bool = False

    verb = "BDAT"


class Rset(NamedTuple):
    """RSET."""

    verb = "RSET"


class Noop(NamedTuple):
    """NOOP, with the string that may follow it."""

    text: str = ""

    verb = "NOOP"


class Quit(NamedTuple):
    """QUIT."""

    verb = "QUIT"


class Vrfy(NamedTuple):
    """VRFY and whom; ``smtputf8`` if the parameter of RFC 6531 §3.7.4.2 was given (then replies may be UTF-8)."""

    text: str
    smtputf8: bool = False

    verb = "VRFY"


class Expn(NamedTuple):
    """EXPN and which list; ``smtputf8`` as for VRFY."""

    text: str
    smtputf8: bool = False

    verb = "EXPN"


class Help(NamedTuple):
    """HELP, with a topic or ""."""

    topic: str = ""

    verb = "HELP"


class StartTls(NamedTuple):
    """STARTTLS (RFC 3207)."""

    verb = "STARTTLS"


class Auth(NamedTuple):
    """AUTH (RFC 4954): ``initial`` is the decoded initial response, b"" for ``=``, None if none was given."""

    mechanism: str
    initial: bytes | None = None

    verb = "AUTH"


Command = Greet | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | StartTls | Auth
