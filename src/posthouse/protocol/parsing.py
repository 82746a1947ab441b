"""Parser of SMTP command lines for the receiving SMTP (RFC 5321 §4.1, and the extensions' parameters).

It is the inverse of ``commands.write_command``, in a module of its own because a sending SMTP does not need it.

The parser tolerates deviations with one meaning only: case, spaces after the colon and around arguments, white space at
the end of the line (RFC 5321 §4.1.1), and the older spellings ``HELLO`` and ``REST``, as whole words.  What a lenient
receiver tolerates besides is in ``leniency``.  ``write_command`` is exact.

The replies to faults (RFC 5321 §4.2, §4.3.2): 500 for an unknown verb, 502 for a verb that is known and not
offered, 501 for an argument that breaks the grammar, 555 for a parameter that is not known or not offered.  Non-ASCII
addresses without SMTPUTF8 have codes of their own, 550 in MAIL and 553 elsewhere (RFC 6531 §3.5).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NoReturn

from posthouse.core import RemoteError, Reply
from posthouse.protocol.commands import (
    Auth,
    Bdat,
    Command,
    Data,
    Expn,
    Greet,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from posthouse.protocol.grammar import (
    GrammarError,
    has_controls,
    parse_greeting_domain,
    parse_path,
    parse_query,
    plain_path,
)
from posthouse.protocol.limits import Limits
from posthouse.protocol.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, ParameterError, parse_parameters

__all__ = ["CACHED_LINE", "CommandError", "parse_cached", "parse_command"]


class CommandError(RemoteError):
    """A line is not an acceptable command; ``reply`` is the reply to it.

    ``verb`` is the RFC's verb in upper case, or "" where none was recognised.
    """

    reply: Reply

    def __init__(self, verb: str, reply: Reply) -> None:
        super().__init__(str(reply), reply)
        self.verb = verb


_DEFAULT: Final = Limits()
#: Octets of a line that ``parse_cached`` may be given, at most.
CACHED_LINE: Final = 300
# "FROM:" Reverse-path, "TO:" Forward-path.  The path ends at the first ">" outside quotes and literals, and is followed
# by a space or nothing; whether it is well formed is the grammar's question.
_PATH_END: Final = r'(<(?:"(?:[^"\\]|\\.)*+"|\[[^\]]*+\]|[^"\[>])*+>)(?: (.*))?'
_FROM: Final = re.compile(f"(?i:FROM): *+{_PATH_END}", re.ASCII | re.DOTALL)
_TO: Final = re.compile(f"(?i:TO): *+{_PATH_END}", re.ASCII | re.DOTALL)
# bdat-cmd ::= "BDAT" SP chunk-size [ SP end-marker ] (RFC 3030 §2); no chunk needs more digits than SIZE has.
_BDAT: Final = re.compile("([0-9]{1,20})(?: +((?i:LAST)))?", re.ASCII)
# sasl-mech (RFC 4422 §3.1), and "=" or base64 (RFC 4954 §4).
_AUTH: Final = re.compile("([A-Za-z0-9_-]{1,20})(?: +([^ ]++))?")


def parse_command(line: bytes, accepts: frozenset[str], limits: Limits = _DEFAULT) -> Command:
    """The command in ``line``, which has no CRLF and is within the reader's limit.

    ``accepts`` are the extensions the receiver offers, as EHLO keywords.  Raises ``CommandError``, and nothing else,
    for whatever the peer sent.  The state of the dialogue is not checked here.
    """
    word, _, rest = line.rstrip(b" \t").partition(b" ")
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


#: ``parse_command`` with a cache, because one sender's many messages repeat their lines.  AUTH must not be given to it:
#: that line holds secrets.
parse_cached: Final = lru_cache(maxsize=2048)(parse_command)


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
    except ParameterError as parameter:
        _refuse(verb, parameter.code, parameter.enhanced, str(parameter))
    except GrammarError as error:
        _refuse(verb, 501, "5.1.7", str(error))
    if sender is not None:
        if not sender.domain:
            _refuse(verb, 501, "5.1.7", "the sender has no domain; write MAIL FROM:<user@domain>")
        if not sender.is_ascii and "smtputf8" not in fields:
            _refuse(verb, 550, "5.6.7", "the sender has non-ASCII characters; add SMTPUTF8 where EHLO offers it")
    return Mail(sender, **fields)


def _read_rcpt(verb: str, argument: str, accepts: frozenset[str], limits: Limits) -> Command:
    if argument[:4] == "TO:<":  # most of them, without asking where the path ends and what follows it
        plain = plain_path(argument[3:], limits)
        if plain is not None:
            return Rcpt(plain)
    match = _TO.fullmatch(argument)
    if match is None:
        _refuse_path(verb, "TO:", "5.1.3", argument)
    try:
        address = parse_path(match[1], limits)
        fields = parse_parameters(match[2], RCPT_PARAMETERS, accepts) if match[2] else {}
    except ParameterError as parameter:
        _refuse(verb, parameter.code, parameter.enhanced, str(parameter))
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
    text, smtputf8 = parse_query(argument)
    if smtputf8 and "SMTPUTF8" not in accepts:
        _refuse(verb, 555, "5.5.4", "SMTPUTF8 is not offered here; leave it out")
    if not text:
        _refuse(verb, 501, "5.5.4", f"{verb} needs a name; write {verb} user@domain")
    if not text.isascii() and "SMTPUTF8" not in accepts:
        _refuse(verb, 553, "5.6.7", "the name has non-ASCII characters, and SMTPUTF8 is not offered here")
    return query(text, smtputf8)


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
