"""Parameters of MAIL and RCPT as one table: the extension of each, and how its value is read and written.

A new parameter is a new row, and a field of ``Mail`` or ``Rcpt``: DELIVERBY's ``BY``, FUTURERELEASE's ``HOLDFOR``,
``MT-PRIORITY`` and ``RRVS`` will be rows.  Both roles use the table, so each parameter that is written can be read.

Replies (RFC 5321 §4.1.1.11, §4.2.4; RFC 3461 §4.5): 555 for a parameter that is unknown or belongs to an extension
that was not offered; 501 for a value that breaks its grammar, a value missing or too many, or a parameter twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from posthouse.core import Body, Notify, OriginalRecipient, Ret
from posthouse.protocol.grammar import (
    GrammarError,
    has_controls,
    parse_mailbox,
    parse_parameter,
    xtext_decode,
    xtext_encode,
)

__all__ = [
    "EsmtpParameter",
    "MAIL_PARAMETERS",
    "ParameterError",
    "RCPT_PARAMETERS",
    "format_parameters",
    "orcpt_decode",
    "orcpt_encode",
    "parse_parameters",
]

# size-value = 1*20DIGIT (RFC 1870 §3)
_SIZE_MOST: Final = 20
_SIZE_END: Final = 10**_SIZE_MOST
_ENVID_MOST: Final = 100
_ORCPT_MOST: Final = 500
# addr-type = atom; what an address or ENVID may hold once decoded (RFC 3461 §4.2, §4.4).
_ADDR_TYPE: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]++"
_PRINTABLE: Final = r"[\t -~]*+"
# utf-8-addr-xtext and utf-8-addr-unitext (RFC 6533 §3): QUCHAR / "\x{" HEXPOINT "}".
_UNITEXT: Final = r"(?:[!-*,-<>-\[\]-~]|[^\x00-\x7f]|\\x\{[0-9A-Fa-f]{2,6}\})++"
_EMBEDDED: Final = r"\\x\{([0-9A-Fa-f]{2,6})\}"
_UNITEXT_SPECIAL: Final = r"[^!-*,-<>-\[\]-~]"
_EMBEDDABLE_ASCII: Final = frozenset(" \\+=")


class ParameterError(GrammarError):
    """A parameter is not accepted; ``code`` is the code of the reply (501 or 555)."""

    def __init__(self, message: str, code: int = 501) -> None:
        super().__init__(message, "5.5.4")
        self.code = code


class EsmtpParameter(NamedTuple):
    """One row: ``keyword``, the ``extension`` that brings it, the ``field`` it fills and that field's ``absent``.

    ``read`` makes the typed value and ``write`` the wire's text; both raise ``GrammarError``.  Both are None for a
    parameter that takes no value: its field is a bool.  ``values`` names values that a further extension brings.
    """

    keyword: str
    extension: str
    field: str
    absent: Any = None
    read: Callable[[str], Any] | None = None
    write: Callable[[Any], str] | None = None
    values: Mapping[str, str] = MappingProxyType({})


def parse_parameters(text: str, table: Mapping[str, EsmtpParameter], accepts: frozenset[str]) -> dict[str, Any]:
    """The fields that the parameters in ``text`` fill; ``accepts`` are the extensions offered.

    Parameters are separated by one or more spaces.  Raises ``ParameterError``.
    """
    fields: dict[str, Any] = {}
    for word in text.split(" "):
        if not word:
            continue
        try:
            keyword, value = parse_parameter(word)
            row = table.get(keyword)
            if row is None or row.extension not in accepts:
                raise ParameterError("a parameter is not known or not offered here; send only what EHLO offers", 555)
            if row.field in fields:
                raise ParameterError(f"{keyword} was given twice; give it once")
            fields[row.field] = _read(row, value, accepts)
        except ParameterError:
            raise
        except GrammarError as error:
            raise ParameterError(str(error)) from error
    return fields


def _read(row: EsmtpParameter, value: str | None, accepts: frozenset[str]) -> object:
    if row.read is None:
        if value is not None:
            raise ParameterError(f"{row.keyword} takes no value; leave it out")
        return True
    if value is None:
        raise ParameterError(f"{row.keyword} needs a value; write {row.keyword}=value")
    if not value.isascii() and "SMTPUTF8" not in accepts:  # RFC 6531 §3.3, RFC 6533 §3
        raise ParameterError(f"{row.keyword} has non-ASCII characters, and SMTPUTF8 is not offered here; encode them")
    brought_by = row.values.get(value.upper())
    if brought_by is not None and brought_by not in accepts:
        raise ParameterError(f"this value of {row.keyword} is not offered here; send only what EHLO offers", 555)
    return row.read(value)


def format_parameters(command: object, table: Mapping[str, EsmtpParameter]) -> str:
    """The parameters that are set in a command, each with a space before it.  Raises ``GrammarError``."""
    words = ""
    for keyword, _, field, absent, _, write, _ in table.values():
        value = getattr(command, field)
        if value is absent or value == absent:
            continue
        words += f" {keyword}" if write is None else f" {keyword}={write(value)}"
    return words


# SIZE, BODY, RET, NOTIFY ----------------------------------------------------------------------------------------------


def _read_size(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _SIZE_MOST):
        raise ParameterError("SIZE is not a number of 1 to 20 digits; write the message's octets")
    return int(value)


def _write_size(size: int) -> str:
    if not isinstance(size, int) or not 0 <= size < _SIZE_END:
        raise ParameterError("SIZE must be a number of at most 20 digits, not negative")
    return str(int(size))


_BODIES: Final = MappingProxyType({str(body): body for body in Body})
_RETS: Final = MappingProxyType({str(ret): ret for ret in Ret})
_NOTIFICATIONS: Final = MappingProxyType({"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY})


def _read_body(value: str) -> Body:
    body = _BODIES.get(value.upper())
    if body is None:
        raise ParameterError("BODY is not known; write 7BIT, 8BITMIME or BINARYMIME")
    return body


def _read_ret(value: str) -> Ret:
    ret = _RETS.get(value.upper())
    if ret is None:
        raise ParameterError("RET is not known; write FULL or HDRS")
    return ret


def _write_word(value: Body | Ret) -> str:
    if not isinstance(value, Body | Ret):
        raise ParameterError("BODY must be a Body and RET a Ret")
    return str(value)


def _read_notify(value: str) -> Notify:
    """``"NEVER" / 1#notify-list-element`` (RFC 3461 §4.1)."""
    if value.upper() == "NEVER":
        return Notify.NEVER
    notify = Notify.NEVER
    for word in value.upper().split(","):
        element = _NOTIFICATIONS.get(word)
        if element is None:
            raise ParameterError("NOTIFY is malformed; write NEVER alone, or SUCCESS, FAILURE, DELAY with commas")
        notify |= element
    return notify


def _write_notify(value: Notify) -> str:
    return ",".join(word for word, flag in _NOTIFICATIONS.items() if flag in value) or "NEVER"


# ENVID, AUTH, ORCPT ---------------------------------------------------------------------------------------------------


def _read_envid(value: str) -> str:
    """xtext of printable ASCII, at most 100 characters as sent (RFC 3461 §4.4)."""
    envid = xtext_decode(value)
    if len(value) > _ENVID_MOST or re.fullmatch(_PRINTABLE, envid) is None:
        raise ParameterError("ENVID is not at most 100 characters of ASCII in xtext")
    return envid


def _write_envid(envid: str) -> str:
    value = xtext_encode(envid)
    if not value:
        raise ParameterError("ENVID is empty; leave it out")
    _read_envid(value)
    return value


def _read_auth(value: str) -> str:
    """``<>`` or a mailbox in xtext (RFC 4954 §5)."""
    if value == "<>":
        return ""
    mailbox = xtext_decode(value)
    try:
        parse_mailbox(mailbox)
    except GrammarError as error:
        raise ParameterError("AUTH is neither <> nor a mailbox in xtext; write AUTH=user@domain") from error
    return mailbox


def _write_auth(mailbox: str) -> str:
    value = xtext_encode(mailbox) or "<>"
    _read_auth(value)
    return value


def orcpt_decode(value: str) -> OriginalRecipient:
    """``original-recipient-address`` (RFC 3461 §4.2): ``rfc822;bob@example.org``, or RFC 6533 §3's ``utf-8;…``.

    The type comes back in lower case.  A ``utf-8`` address that does not follow its syntax is kept unaltered, as
    RFC 6533 §3 demands; so is one whose ``\\x{…}`` would decode to a control character.  Raises ``GrammarError``.

    An ``rfc822`` address that is xtext of UTF-8 is read as ``utf-8``: Postfix (3.7) sends the original recipients of
    SMTPUTF8 mail so, and would return the mail to its sender if that were an error.
    """
    if len(value) > _ORCPT_MOST:
        raise ParameterError("ORCPT is longer than 500 characters; leave it out")
    kind, semicolon, encoded = value.partition(";")
    if not semicolon or re.fullmatch(_ADDR_TYPE, kind) is None:
        raise ParameterError("ORCPT has no address type; write ORCPT=rfc822;user@domain")
    kind = kind.lower()
    if kind == "utf-8":
        if not encoded or has_controls(encoded):
            raise ParameterError("ORCPT holds no address, or control characters; write ORCPT=utf-8;user@domain")
        return OriginalRecipient(kind, _unitext_decode(encoded))
    address = xtext_decode(encoded)
    if kind == "rfc822" and not address.isascii():
        orcpt = OriginalRecipient("utf-8", address)
        orcpt_encode(orcpt)  # it must be possible to send it on
        return orcpt
    if re.fullmatch(_PRINTABLE, address) is None:
        raise ParameterError("ORCPT of this type must be ASCII; write ORCPT=utf-8;user@domain")
    return OriginalRecipient(kind, address)


def orcpt_encode(orcpt: OriginalRecipient) -> str:
    """The value of ORCPT=, always in a 7-bit form, which every receiver takes (RFC 6533 §3).  Raises GrammarError."""
    if orcpt.kind == "utf-8":
        encoded = re.sub(_UNITEXT_SPECIAL, lambda match: f"\\x{{{ord(match[0]):02X}}}", orcpt.address)
    else:
        encoded = xtext_encode(orcpt.address)
    value = f"{orcpt.kind};{encoded}"
    if orcpt_decode(value) != orcpt:
        raise ParameterError("ORCPT's type is not in lower case, or its address holds control characters")
    return value


def _unitext_decode(text: str) -> str:
    if re.fullmatch(_UNITEXT, text) is None:
        return text
    if not all(_may_embed(int(point, 16)) for point in re.findall(_EMBEDDED, text)):
        return text
    return re.sub(_EMBEDDED, lambda match: chr(int(match[1], 16)), text)


def _may_embed(point: int) -> bool:
    """HEXPOINT without its controls: the ASCII characters that xtext would encode, or a non-ASCII code point."""
    if point > 0x10FFFF:
        return False
    return chr(point) in _EMBEDDABLE_ASCII if point < 0x80 else not has_controls(chr(point))


# The tables -----------------------------------------------------------------------------------------------------------


def _table(*rows: EsmtpParameter) -> Mapping[str, EsmtpParameter]:
    return MappingProxyType({row.keyword: row for row in rows})


#: What MAIL may carry, by keyword.
MAIL_PARAMETERS: Final = _table(
    EsmtpParameter("SIZE", "SIZE", "size", None, _read_size, _write_size),
    EsmtpParameter(
        "BODY",
        "8BITMIME",
        "body",
        Body.SEVENBIT,
        _read_body,
        _write_word,
        MappingProxyType({"BINARYMIME": "BINARYMIME"}),
    ),
    EsmtpParameter("SMTPUTF8", "SMTPUTF8", "smtputf8", False),
    EsmtpParameter("RET", "DSN", "ret", None, _read_ret, _write_word),
    EsmtpParameter("ENVID", "DSN", "envid", None, _read_envid, _write_envid),
    EsmtpParameter("AUTH", "AUTH", "auth", None, _read_auth, _write_auth),
    EsmtpParameter("REQUIRETLS", "REQUIRETLS", "require_tls", False),
)

#: What RCPT may carry, by keyword.
RCPT_PARAMETERS: Final = _table(
    EsmtpParameter("NOTIFY", "DSN", "notify", None, _read_notify, _write_notify),
    EsmtpParameter("ORCPT", "DSN", "orcpt", None, orcpt_decode, orcpt_encode),
)
