"""The commands of SMTP as values (RFC 5321 §4.1, and the extensions' parameters).

A command is read from a line (``parse_command``) by the receiving SMTP and written to one (``write_command``) by the
sending SMTP; both roles share the value in between, so what we send is by construction what we can read.

Reading forgives what has one meaning only: case, spaces after the colon, around arguments and at the line's end, and
the older spellings ``HELLO`` and ``REST``, as whole words.  Writing is exact.

Which reply a fault suggests (RFC 5321 §4.2, §4.3.2): 500 for a verb nobody knows, 502 for one that is known and not
offered, 501 for an argument that breaks the grammar, 555 for a parameter that is not known or not offered.  Non-ASCII
addresses without SMTPUTF8 have codes of their own, 550 in MAIL and 553 elsewhere (RFC 6531 §3.5).

Over budget: value, reader and writer of a command belong under one roof, for that reader and writer are each other's
inverse is seen only side by side.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final, NoReturn

from posthouse.protocol.grammar import (
    GrammarError,
    has_controls,
    parse_domain,
    parse_greeting_domain,
    parse_literal,
    parse_path,
)
from posthouse.protocol.limits import Limits
from posthouse.protocol.parameters import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    ParameterError,
    format_parameters,
    parse_parameters,
)
from posthouse.words import Address, Body, LocalError, Notify, OriginalRecipient, RemoteError, Reply, Ret

__all__ = [
    "Auth",
    "Bdat",
    "Command",
    "CommandError",
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
    "parse_command",
    "write_command",
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
    initial: bytes | None = field(default=None, repr=False)  # often a password; logs show repr

    verb: ClassVar[str] = "AUTH"


Command = Greet | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | StartTls | Auth


class CommandError(RemoteError):
    """A line is no command that may be obeyed; ``reply`` is what to answer.

    ``verb`` is the RFC's verb in upper case, or "" where none was recognised.
    """

    reply: Reply

    def __init__(self, verb: str, reply: Reply) -> None:
        super().__init__(str(reply), reply)
        self.verb = verb


# Reading --------------------------------------------------------------------------------------------------------------

_DEFAULT: Final = Limits()
_CACHED_LINE: Final = 300
# "FROM:" Reverse-path, "TO:" Forward-path.  The path ends at the first ">" outside quotes and literals, and is followed
# by a space or nothing; whether it is well formed is the grammar's question.
_PATH_END: Final = r'(<(?:"(?:[^"\\]|\\.)*+"|\[[^\]]*+\]|[^"\[>])*+>)(?: (.*))?'
_FROM: Final = re.compile(f"(?i:FROM): *+{_PATH_END}", re.ASCII | re.DOTALL)
_TO: Final = re.compile(f"(?i:TO): *+{_PATH_END}", re.ASCII | re.DOTALL)
# bdat-cmd ::= "BDAT" SP chunk-size [ SP end-marker ] (RFC 3030 §2); no chunk needs more digits than SIZE has.
_BDAT: Final = re.compile("([0-9]{1,20})(?: +((?i:LAST)))?", re.ASCII)
# sasl-mech (RFC 4422 §3.1), and "=" or base64 (RFC 4954 §4).
_AUTH: Final = re.compile("([A-Za-z0-9_-]{1,20})(?: +([^ ]++))?")
_MECHANISM: Final = re.compile("[A-Z0-9_-]{1,20}")
# vrfy = "VRFY" SP String [ SP "SMTPUTF8" ] (RFC 6531 §3.7.4.2)
_UTF8_PARAMETER: Final = re.compile(" +SMTPUTF8", re.IGNORECASE | re.ASCII)


def parse_command(line: bytes, accepts: frozenset[str], *, limits: Limits = _DEFAULT) -> Command:
    """The command in ``line``, which comes without its CRLF and no longer than its reader allows.

    ``accepts`` are the extensions the receiver offers, as EHLO keywords.  Raises ``CommandError``, and nothing else,
    for whatever the peer sent.  Whether the command is legal *now* is not asked here.
    """
    # One sender's many messages repeat their lines.  AUTH holds secrets, which must not stay in a cache.
    if len(line) <= _CACHED_LINE and line[:4].upper() != b"AUTH":
        return _parse_cached(line, accepts, limits)
    return _parse(line, accepts, limits)


def _parse(line: bytes, accepts: frozenset[str], limits: Limits) -> Command:
    word, _, rest = line.partition(b" ")
    verb = _VERBS.get(word.upper())
    if verb is None:
        _refuse("", 500, "5.5.2", "Command not recognised; HELP lists those known here")
    read = _READERS.get(verb)
    extension = _EXTENSIONS.get(verb)
    if read is None or (extension is not None and extension not in accepts):
        _refuse(verb, 502, "5.5.1", f"{verb} is not offered here")
    try:
        argument = rest.decode()
    except UnicodeDecodeError:
        _refuse(verb, 501, "5.5.2", f"The argument of {verb} is not UTF-8")
    if has_controls(argument):
        _refuse(verb, 501, "5.5.2", f"The argument of {verb} holds a control character")
    return read(verb, argument.strip(" "), accepts, limits)


_parse_cached: Final = lru_cache(maxsize=2048)(_parse)


def _refuse(verb: str, code: int, enhanced: str, text: str) -> NoReturn:
    raise CommandError(verb, Reply(code, enhanced, text[:1].upper() + text[1:]))


def _read_greet(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    try:
        return Greet(verb, parse_greeting_domain(argument))
    except GrammarError as error:
        _refuse(verb, 501, error.enhanced, str(error))


def _read_mail(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    match = _FROM.fullmatch(argument)
    if match is None:
        _refuse_path(verb, "FROM:", "5.1.7", argument)
    try:
        sender = parse_path(match[1], limits)
        fields = parse_parameters(match[2], MAIL_PARAMETERS, accepts) if match[2] else {}
    except ParameterError as error:
        _refuse(verb, error.code, error.enhanced, str(error))
    except GrammarError as error:
        _refuse(verb, 501, "5.1.7", str(error))
    if sender is not None:
        if not sender.domain:
            _refuse(verb, 501, "5.1.7", "the sender has no domain; write MAIL FROM:<user@domain>")
        if not sender.is_ascii and "smtputf8" not in fields:
            _refuse(verb, 550, "5.6.7", "the sender has non-ASCII characters; add SMTPUTF8 where EHLO offers it")
    return Mail(sender, **fields)


def _read_rcpt(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    match = _TO.fullmatch(argument)
    if match is None:
        _refuse_path(verb, "TO:", "5.1.3", argument)
    try:
        address = parse_path(match[1], limits)
        fields = parse_parameters(match[2], RCPT_PARAMETERS, accepts) if match[2] else {}
    except ParameterError as error:
        _refuse(verb, error.code, error.enhanced, str(error))
    except GrammarError as error:
        _refuse(verb, 501, "5.1.3", str(error))
    if address is None:
        _refuse(verb, 501, "5.1.3", "the recipient is empty; write RCPT TO:<user@domain>")
    if not address.is_ascii and "SMTPUTF8" not in accepts:
        _refuse(verb, 553, "5.6.7", "the recipient has non-ASCII characters, and SMTPUTF8 is not offered here")
    return Rcpt(address, **fields)


def _refuse_path(verb: str, colon_word: str, enhanced: str, argument: str) -> NoReturn:
    if argument[: len(colon_word)].upper() != colon_word:
        _refuse(verb, 501, "5.5.4", f"{verb} needs {colon_word}; write {verb} {colon_word}<user@domain>")
    _refuse(
        verb,
        501,
        enhanced,
        f"The address is not in angle brackets, or something touches them; write {verb} {colon_word}<user@domain>",
    )


def _read_bare(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    if argument:
        _refuse(verb, 501, "5.5.4", f"{verb} takes no argument; send it alone")
    return _BARE[verb]


def _read_bdat(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    match = _BDAT.fullmatch(argument)
    if match is None:
        _refuse(verb, 501, "5.5.4", "the chunk's size is missing or malformed; write BDAT size or BDAT size LAST")
    return Bdat(int(match[1]), match[2] is not None)


def _read_text(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    return Noop(argument) if verb == "NOOP" else Help(argument)


def _read_query(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    query = Vrfy if verb == "VRFY" else Expn
    text, smtputf8 = argument, False
    parameter = _last_utf8_parameter(argument)
    if parameter is not None:
        if "SMTPUTF8" not in accepts:
            _refuse(verb, 555, "5.5.4", "SMTPUTF8 is not offered here; leave it out")
        text, smtputf8 = argument[: parameter.start()], True
    if not text:
        _refuse(verb, 501, "5.5.4", f"{verb} needs a name; write {verb} user@domain")
    if not text.isascii() and "SMTPUTF8" not in accepts:
        _refuse(verb, 553, "5.6.7", "the name has non-ASCII characters, and SMTPUTF8 is not offered here")
    return query(text, smtputf8)


def _last_utf8_parameter(argument: str) -> re.Match[str] | None:
    start = len(argument[: argument.rfind(" ") + 1].rstrip(" "))
    return _UTF8_PARAMETER.fullmatch(argument, start) if start else None


def _read_auth(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    match = _AUTH.fullmatch(argument)
    if match is None:
        _refuse(verb, 501, "5.5.4", "the mechanism is missing or malformed; write AUTH mechanism [initial-response]")
    mechanism, encoded = match[1].upper(), match[2]
    if encoded is None:
        return Auth(mechanism)
    if encoded == "=":
        return Auth(mechanism, b"")
    try:
        return Auth(mechanism, base64.b64decode(encoded, validate=True))
    except ValueError:  # binascii.Error is one, and so is the fault of a non-ASCII text
        pass
    _refuse(verb, 501, "5.5.2", "the initial response is not base64")


_BARE: Final[dict[str, Command]] = {each.verb: each for each in (Data(), Rset(), Quit(), StartTls())}

_Reader = Callable[[str, str, frozenset[str], Limits], Command]
_READERS: Final[dict[str, _Reader]] = {
    "HELO": _read_greet,
    "EHLO": _read_greet,
    "LHLO": _read_greet,
    "MAIL": _read_mail,
    "RCPT": _read_rcpt,
    "BDAT": _read_bdat,
    "NOOP": _read_text,
    "HELP": _read_text,
    "VRFY": _read_query,
    "EXPN": _read_query,
    "AUTH": _read_auth,
    **dict.fromkeys(_BARE, _read_bare),
}
# The commands an extension brings, and by which keyword.
_EXTENSIONS: Final = {"BDAT": "CHUNKING", "STARTTLS": "STARTTLS", "AUTH": "AUTH"}
# Recognised and not implemented, which is 502 and not 500 (RFC 5321 §4.2.4, App. F.1, F.6; RFC 1985; RFC 2645).
_UNIMPLEMENTED: Final = ("ATRN", "ETRN", "SAML", "SEND", "SOML", "TURN")
_VERBS: Final[dict[bytes, str]] = {
    **{verb.encode(): verb for verb in (*_READERS, *_UNIMPLEMENTED)},
    b"HELLO": "HELO",
    b"REST": "RSET",
}


# Writing --------------------------------------------------------------------------------------------------------------


def write_command(command: Command) -> bytes:
    """The command's line with its CRLF: what ``parse_command`` gives back as an equal value.

    Raises ``LocalError`` for a value that cannot be written so: a control character, an address or parameter outside
    its grammar, a non-ASCII sender without ``smtputf8``, a greeting that is neither a domain nor a literal (what is
    forgiven when read is not sent).
    """
    write = _WRITERS.get(type(command))
    if write is _write_bare:
        return _BARE_WIRES[command.verb]
    if write is None:
        raise LocalError("this is not a command; pass one of posthouse.protocol's commands")
    try:
        if type(command) is Rcpt and command.notify is None and command.orcpt is None:
            return _write_plain_rcpt(command.address)
        return _wire(write(command))
    except ValueError as error:  # a GrammarError, or a lone surrogate
        raise LocalError(f"{command.verb} cannot be sent: {error}") from error


def _wire(line: str) -> bytes:
    wire = line.encode()
    if has_controls(line):
        raise GrammarError("it holds a control character; remove it")
    return wire + b"\r\n"


@lru_cache(maxsize=2048)
def _write_plain_rcpt(address: Address) -> bytes:
    return _wire(f"RCPT TO:{_write_path(address)}")


@lru_cache(maxsize=2048)
def _write_path(address: Address) -> str:
    path = f"<{address}>"
    if parse_path(path) != address:
        raise GrammarError("the address is not in its plain form; make it with parse_mailbox")
    return path


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
    line = f"{command.size} LAST" if command.last else f"{command.size}"
    if _BDAT.fullmatch(line) is None:
        raise GrammarError("the chunk's size must be a number of at most 20 digits, not negative")
    return f"BDAT {line}"


def _write_text(command: Noop | Help) -> str:
    text = command.text if isinstance(command, Noop) else command.topic
    if text != text.strip(" "):
        raise GrammarError("the text begins or ends with a space")
    return f"{command.verb} {text}" if text else command.verb


def _write_query(command: Vrfy | Expn) -> str:
    text = command.text
    if not text or text != text.strip(" "):
        raise GrammarError("the name is empty, or begins or ends with a space")
    if not command.smtputf8 and _last_utf8_parameter(text) is not None:
        raise GrammarError("the name would be read as ending in a parameter; quote it")
    return f"{command.verb} {text} SMTPUTF8" if command.smtputf8 else f"{command.verb} {text}"


def _write_auth(command: Auth) -> str:
    if _MECHANISM.fullmatch(command.mechanism) is None:
        raise GrammarError("the mechanism's name is not 1 to 20 upper-case letters, digits, - or _")
    if command.initial is None:
        return f"AUTH {command.mechanism}"
    return f"AUTH {command.mechanism} {base64.b64encode(command.initial).decode() or '='}"


def _write_bare(command: Data | Rset | Quit | StartTls) -> str:
    return command.verb


_BARE_WIRES: Final = {verb: f"{verb}\r\n".encode() for verb in _BARE}
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
