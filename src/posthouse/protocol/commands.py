"""SMTP commands as values (RFC 5321 §4.1, and the extensions' parameters).

The sending SMTP writes a command as a line (``write_command``), and the receiving SMTP reads it
(``parsing.parse_command``).  Both roles use the same values, so each command that is written can be read.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Final

from posthouse.core import Address, Body, LocalError, Notify, OriginalRecipient, Ret
from posthouse.protocol.grammar import (
    GrammarError,
    has_controls,
    parse_domain,
    parse_literal,
    parse_path,
    parse_query,
)
from posthouse.protocol.parameters import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    format_parameters,
)

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
    "plain_mail",
    "plain_rcpt",
    "write_command",
]


class _Value:
    """A frozen value: equal to one of its own kind with equal fields.  Its fields are those of ``__match_args__``.

    It is not a dataclass: making 13 of those takes longer than the rest of a short command, and a frozen one sets its
    fields in 4 times the time.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def _fields(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Value) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), self._fields()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"


class Greet(_Value):
    """HELO, EHLO or LHLO: ``verb`` in upper case; ``domain`` as the client named itself (domain or literal)."""

    __slots__ = ("domain", "verb")
    __match_args__ = ("verb", "domain")

    def __init__(self, verb: str, domain: str) -> None:
        self.verb: Final = verb
        self.domain: Final = domain


class Mail(_Value):
    """MAIL FROM; see ``core.Envelope`` for the parameters' meaning.  ``sender`` is None for ``<>``."""

    __slots__ = ("auth", "body", "envid", "require_tls", "ret", "sender", "size", "smtputf8")
    __match_args__ = ("sender", "size", "body", "smtputf8", "ret", "envid", "auth", "require_tls")
    verb: ClassVar[str] = "MAIL"

    def __init__(
        self,
        sender: Address | None,
        size: int | None = None,
        body: Body = Body.SEVENBIT,
        smtputf8: bool = False,
        ret: Ret | None = None,
        envid: str | None = None,
        auth: str | None = None,
        require_tls: bool = False,
    ) -> None:
        self.sender: Final = sender
        self.size: Final = size
        self.body: Final = body
        self.smtputf8: Final = smtputf8
        self.ret: Final = ret
        self.envid: Final = envid
        self.auth: Final = auth
        self.require_tls: Final = require_tls


class Rcpt(_Value):
    """RCPT TO; see ``core.Recipient``."""

    __slots__ = ("address", "notify", "orcpt")
    __match_args__ = ("address", "notify", "orcpt")
    verb: ClassVar[str] = "RCPT"

    def __init__(self, address: Address, notify: Notify | None = None, orcpt: OriginalRecipient | None = None) -> None:
        self.address: Final = address
        self.notify: Final = notify
        self.orcpt: Final = orcpt


class Data(_Value):
    """DATA."""

    __slots__ = ()
    verb: ClassVar[str] = "DATA"


class Bdat(_Value):
    """BDAT (RFC 3030 §2): ``size`` octets follow the line; ``last`` ends the message."""

    __slots__ = ("last", "size")
    __match_args__ = ("size", "last")
    verb: ClassVar[str] = "BDAT"

    def __init__(self, size: int, last: bool = False) -> None:
        self.size: Final = size
        self.last: Final = last


class Rset(_Value):
    """RSET."""

    __slots__ = ()
    verb: ClassVar[str] = "RSET"


class Noop(_Value):
    """NOOP, with the string that may follow it."""

    __slots__ = ("text",)
    __match_args__ = ("text",)
    verb: ClassVar[str] = "NOOP"

    def __init__(self, text: str = "") -> None:
        self.text: Final = text


class Quit(_Value):
    """QUIT."""

    __slots__ = ()
    verb: ClassVar[str] = "QUIT"


class Vrfy(_Value):
    """VRFY and whom; ``smtputf8`` if the parameter of RFC 6531 §3.7.4.2 was given (then replies may be UTF-8)."""

    __slots__ = ("smtputf8", "text")
    __match_args__ = ("text", "smtputf8")
    verb: ClassVar[str] = "VRFY"

    def __init__(self, text: str, smtputf8: bool = False) -> None:
        self.text: Final = text
        self.smtputf8: Final = smtputf8


class Expn(_Value):
    """EXPN and which list; ``smtputf8`` as for VRFY."""

    __slots__ = ("smtputf8", "text")
    __match_args__ = ("text", "smtputf8")
    verb: ClassVar[str] = "EXPN"

    def __init__(self, text: str, smtputf8: bool = False) -> None:
        self.text: Final = text
        self.smtputf8: Final = smtputf8


class Help(_Value):
    """HELP, with a topic or ""."""

    __slots__ = ("topic",)
    __match_args__ = ("topic",)
    verb: ClassVar[str] = "HELP"

    def __init__(self, topic: str = "") -> None:
        self.topic: Final = topic


class StartTls(_Value):
    """STARTTLS (RFC 3207)."""

    __slots__ = ()
    verb: ClassVar[str] = "STARTTLS"


class Auth(_Value):
    """AUTH (RFC 4954): ``initial`` is the decoded initial response, b"" for ``=``, None if none was given."""

    __slots__ = ("initial", "mechanism")
    __match_args__ = ("mechanism", "initial")
    verb: ClassVar[str] = "AUTH"

    def __init__(self, mechanism: str, initial: bytes | None = None) -> None:
        self.mechanism: Final = mechanism
        self.initial: Final = initial

    def __repr__(self) -> str:
        return f"Auth(mechanism={self.mechanism!r})"  # the response is often a password, and logs show repr


Command = Greet | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | StartTls | Auth


# Writing --------------------------------------------------------------------------------------------------------------

_MECHANISM: Final = "[A-Z0-9_-]{1,20}"  # sasl-mech (RFC 4422 §3.1)
_LARGE: Final = 10**15  # a size from which on all of its rules are asked

# An attribute of an enumeration costs ten times a global name.
_EIGHTBIT: Final = Body.EIGHTBITMIME
_SEVENBIT: Final = Body.SEVENBIT


def write_command(command: Command) -> bytes:
    """The command's line with its CRLF: what ``parse_command`` gives back as an equal value.

    Raises ``LocalError`` for a value that cannot be written so: a control character, an address or parameter outside
    its grammar, a non-ASCII sender without ``smtputf8``, a greeting that is neither a domain nor a literal (what is
    tolerated when read is not sent).  One thing that a lenient receiver accepts is written as it is, because the mail
    was promised: a domain with underscores.  A local part with misplaced dots is quoted, as any that needs it.
    """
    write = _WRITERS.get(type(command))
    if write is _write_bare:
        return _BARE_WIRES[command.verb]
    if write is None:
        raise LocalError("this is not a command; pass one of posthouse.protocol's commands")
    try:
        if type(command) is Rcpt and command.notify is None and command.orcpt is None:
            return plain_rcpt(command.address)[1]
        if type(command) is Mail and (wire := _plain_mail(command)) is not None:
            return wire
        return _wire(write(command))
    except ValueError as error:  # a GrammarError, or a lone surrogate
        raise LocalError(f"{command.verb} cannot be sent: {error}{_named(command)}") from error


def _named(command: Command) -> str:
    """The address of MAIL or RCPT for the end of a sentence, on one line; "" for others."""
    address = command.address if isinstance(command, Rcpt) else command.sender if isinstance(command, Mail) else None
    return "" if address is None else f" ({str(address)[:100]!a})"


def _wire(line: str) -> bytes:
    wire = line.encode()
    if has_controls(line):
        raise GrammarError("it holds a control character; remove it")
    return wire + b"\r\n"


def _plain_mail(command: Mail) -> bytes | None:
    """MAIL whose only parameters are SIZE and BODY=8BITMIME, as nearly all is; None for any other."""
    body, size = command.body, command.size
    if command.smtputf8 or command.require_tls or command.ret is not None or command.envid is not None:
        return None
    writable = size is None or (type(size) is int and 0 <= size < _LARGE)
    if not writable or command.auth is not None or not (body is _SEVENBIT or body is _EIGHTBIT):
        return None
    start = _bare_mail(command.sender)[1][:-2]
    end = b"\r\n" if body is _SEVENBIT else b" BODY=8BITMIME\r\n"
    return start + end if size is None else b"%b SIZE=%d%b" % (start, size, end)


def plain_mail(sender: Address | None, size: int | None, body: Body) -> tuple[Mail, bytes]:
    """MAIL with SIZE and BODY alone, and its line.  Raises ``ValueError`` if it cannot be written so."""
    if size is None and body is _SEVENBIT:
        return _bare_mail(sender)
    command = Mail(sender, size, body)
    return command, _plain_mail(command) or _wire(_write_mail(command))


@lru_cache(maxsize=4096)
def plain_rcpt(address: Address) -> tuple[Rcpt, bytes]:
    """RCPT without parameters, and its line.  Raises ``ValueError`` if it cannot be written."""
    return Rcpt(address), _wire(f"RCPT TO:{_write_path(address)}")


@lru_cache(maxsize=2048)
def _bare_mail(sender: Address | None) -> tuple[Mail, bytes]:
    return Mail(sender), _wire(_write_mail(Mail(sender)))


def _write_path(address: Address) -> str:
    domain = address.domain
    if "_" in domain and not address.is_literal:
        # No mail domain may have an underscore, and some have one (``protocol.leniency``).
        checked = Address(address.local, domain.replace("_", "0"))
    else:
        checked = address
    if parse_path(f"<{checked}>") != checked:
        raise GrammarError("the address is not in its plain form; make it with parse_mailbox")
    return f"<{address}>"


def _write_greet(command: Greet) -> str:
    if command.verb not in ("HELO", "EHLO", "LHLO"):
        raise GrammarError("a greeting is HELO, EHLO or LHLO")
    if not command.domain.isascii():
        raise GrammarError("the client's name has non-ASCII characters; give it as A-labels")  # RFC 6531 §3.7.1
    if command.domain.startswith("["):
        parse_literal(command.domain)
    else:
        parse_domain(command.domain)
    return f"{command.verb} {command.domain}"


def _write_mail(command: Mail) -> str:
    sender = command.sender
    if sender is None:
        path = "<>"
    else:
        path = _write_path(sender)
        if not sender.domain:
            raise GrammarError("the sender has no domain")
        if not command.smtputf8 and not sender.is_ascii:
            raise GrammarError("the sender has non-ASCII characters; set smtputf8")
    return f"MAIL FROM:{path}{format_parameters(command, MAIL_PARAMETERS)}"


def _write_rcpt(command: Rcpt) -> str:
    return f"RCPT TO:{_write_path(command.address)}{format_parameters(command, RCPT_PARAMETERS)}"


def _write_bdat(command: Bdat) -> str:
    size = str(command.size)
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise GrammarError("the chunk's size must be a number of at most 20 digits, not negative")
    return f"BDAT {size} LAST" if command.last else f"BDAT {size}"


def _write_text(command: Noop | Help) -> str:
    text = command.text if isinstance(command, Noop) else command.topic
    if text != text.strip(" "):
        raise GrammarError("the text begins or ends with a space")
    return f"{command.verb} {text}" if text else command.verb


def _write_query(command: Vrfy | Expn) -> str:
    text = command.text
    if not text or text != text.strip(" "):
        raise GrammarError("the name is empty, or begins or ends with a space")
    if not command.smtputf8 and parse_query(text)[1]:
        raise GrammarError("the name would be read as ending in a parameter; quote it")
    return f"{command.verb} {text} SMTPUTF8" if command.smtputf8 else f"{command.verb} {text}"


def _write_auth(command: Auth) -> str:
    if re.fullmatch(_MECHANISM, command.mechanism) is None:
        raise GrammarError("the mechanism's name is not 1 to 20 upper-case letters, digits, - or _")
    if command.initial is None:
        return f"AUTH {command.mechanism}"
    return f"AUTH {command.mechanism} {base64.b64encode(command.initial).decode() or '='}"


def _write_bare(command: Data | Rset | Quit | StartTls) -> str:
    return command.verb


_BARE_WIRES: Final = {each.verb: f"{each.verb}\r\n".encode() for each in (Data, Rset, Quit, StartTls)}
_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    Greet: _write_greet,
    Mail: _write_mail,
    Rcpt: _write_rcpt,
    Bdat: _write_bdat,
    Noop: _write_text,
    Help: _write_text,
    Vrfy: _write_query,
    Expn: _write_query,
    Auth: _write_auth,
    Data: _write_bare,
    Rset: _write_bare,
    Quit: _write_bare,
    StartTls: _write_bare,
}
