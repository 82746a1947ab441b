"""Mailboxes of header fields and command lines: ``郎锐 <langrui@sohu.com>``.

The syntax is the mailbox list of RFC 5322 §3.4 without its obsolete forms, comments and groups.  An ambiguous text
(``Smith, John <a@b>`` without quotes) is an error with a remedy; a wrong guess would send the message to the wrong
person.  Domains are put in lower case only; ``with_a_labels`` converts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from posthouse.core import Address, LocalError
from posthouse.message.encode import encoded_words

__all__ = [
    "Mailbox",
    "MailboxLike",
    "MailboxesLike",
    "check_text",
    "parse_mailboxes",
    "with_a_labels",
    "write_mailbox",
    "write_phrase",
]


class Mailbox(NamedTuple):
    """A display name ("" for none) and an address."""

    name: str
    address: Address


MailboxLike = str | Address | Mailbox | tuple[str, Address]
MailboxesLike = MailboxLike | Iterable[MailboxLike]

_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# The class lists the excluded characters, because a class with a range to U+10FFFF takes milliseconds to compile.
# Dots at odd places (a..b@, a.@) are not in the grammar; people have such addresses, and they are written in quotes.
_LOCAL = rf'(?:[^\x00-\x20"(),:;<>@\[\\\]\x7f]+|{_QUOTED})'
# A label begins and ends with a letter or digit, and has at most 63 octets; U-labels are not checked further.
_LET_DIG = r"[^\x00-/:-@\[-`{-\x7f]"
_LABEL = rf"{_LET_DIG}(?:[^\x00-,./:-@\[-`{{-\x7f]{{0,61}}{_LET_DIG})?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9.:-]+\]"
_NAME_ADDR = rf"(?s)(?P<name>(?:{_QUOTED}|[^\"<>@,;:]++)*+)<(?P<address>(?:{_QUOTED})?[^<>\"]+)>"
_NOT_COMMA = re.compile(rf"(?:[^,\"]|{_QUOTED})*+", re.DOTALL)
_ESCAPED = r"(?s)\\(.)"
_WORDS = rf'(?s){_QUOTED}|[^"]+'
# The usual form; the expressions above are compiled (and cached by ``re``) for other forms only.
_LDH_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = rf"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@({_LDH_LABEL}(?:\.{_LDH_LABEL})*)"
# Never part of a header: C0 except the tab, DEL, C1, line and paragraph separators, surrogates.
_FORBIDDEN = r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
_PHRASE = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_NEEDS_ESCAPE = r'(["\\])'
_LOCAL_OCTETS, _DOMAIN_OCTETS = 64, 255  # RFC 5321 §4.5.3.1.1, §4.5.3.1.2


def check_text(what: str, text: str) -> str:
    """``text`` if a header field may hold it, else ``LocalError``: a line end would begin another field."""
    if text.isprintable():  # fast path
        return text
    bad = re.search(_FORBIDDEN, text)
    if bad is not None:
        raise LocalError(
            f"{what} holds the character U+{ord(bad.group()):04X} at position {bad.start() + 1}, which would end or "
            "break the header field; remove it"
        )
    return text


def parse_mailboxes(value: MailboxesLike, what: str = "the address") -> list[Mailbox]:
    """The mailboxes in ``value``: comma-separated text, an ``Address``, a pair of name and address, or an iterable of
    these.

    ``what`` names the value in error messages.  Raises ``LocalError`` for anything that is not a mailbox.
    """
    if isinstance(value, str):
        return [_parse(part, what) for part in _parts(check_text(what, value))]
    if isinstance(value, Address):
        return [Mailbox("", _checked(value, what))]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Address):
        return [Mailbox(check_text(what, value[0]), _checked(value[1], what))]
    return [mailbox for item in value for mailbox in parse_mailboxes(item, what)]


def _parts(text: str) -> list[str]:
    """The text cut at commas outside quotes."""
    if "," not in text and '"' not in text:
        bare = text.strip()
        return [bare] if bare else []
    parts = []
    at = 0
    while True:
        match = _NOT_COMMA.match(text, at)
        end = match.end() if match else at
        if end < len(text) and text[end] == '"':
            raise LocalError(f"{text!r} opens a quotation that does not end; close the quotation mark")
        parts.append(text[at:end].strip())
        if end >= len(text):
            return [part for part in parts if part]
        at = end + 1


def _parse(text: str, what: str) -> Mailbox:
    plain = re.fullmatch(_PLAIN, text) if len(text) <= _LOCAL_OCTETS else None
    if plain is not None:  # this form needs no further check
        return Mailbox("", Address(plain[1], plain[2].lower()))
    match = re.fullmatch(_NAME_ADDR, text)
    name, spec = (_display_name(match["name"]), match["address"].strip()) if match else ("", text)
    local = re.match(_LOCAL, spec)
    if local is None or spec[local.end() : local.end() + 1] != "@":
        raise LocalError(
            f'{what} {text!r} is not a mailbox; write "name@domain" or "Name <name@domain>", with quotation marks '
            "around a name that has a comma or another special character"
        )
    domain = spec[local.end() + 1 :].lower()
    if domain.startswith("[ipv6:"):
        domain = f"[IPv6:{domain[6:]}"  # the tag's spelling in RFC 5321 §4.1.3
    address = Address(_unquoted(local.group()), domain)
    return Mailbox(check_text(what, name), _checked(address, what))


def _display_name(phrase: str) -> str:
    """The name that a phrase of words and quoted strings means (RFC 5322 §3.2.5), encoded words decoded (RFC 2047)."""
    if '"' not in phrase:
        return _decoded(phrase.strip())
    words = (word.strip() for word in re.findall(_WORDS, phrase) if word.strip())
    return " ".join(_unquoted(word) if word.startswith('"') else _decoded(word) for word in words)


def _decoded(words: str) -> str:
    if "=?" not in words:
        return words
    from posthouse.message.reading.encoded_text import decode_words  # hardly any name that people write has one

    return " ".join(decode_words(words).text.split())


def _unquoted(text: str) -> str:
    return re.sub(_ESCAPED, r"\1", text[1:-1]) if text.startswith('"') else text


def _checked(address: Address, what: str) -> Address:
    """The address if an envelope and a header field can hold it, else ``LocalError``."""
    check_text(what, address.local)
    if not address.local or len(address.local.encode()) > _LOCAL_OCTETS:
        raise LocalError(f"{what} has a local part that is empty or longer than 64 octets: {address}")
    if any(character.isspace() and character != " " for character in str(address)):
        raise LocalError(f"{what} holds white space other than a plain space: {str(address)!r}; remove it")
    check_text(what, address.domain)
    if re.fullmatch(_DOMAIN, address.domain) is None or len(address.domain.encode()) > _DOMAIN_OCTETS:
        raise LocalError(f"{what} has no valid domain: {str(address)!r}; write a host name or [IP address] behind @")
    return address


def with_a_labels(address: Address) -> Address:
    """The same mailbox with its domain in A-labels (IDNA 2008 with the mapping of UTS 46, which keeps ``ß``), so that
    only a local part beyond ASCII needs SMTPUTF8 (RFC 6531 §3.2).  Raises ``LocalError`` for a domain that has none."""
    if address.domain.isascii():
        return address
    try:
        import idna  # its tables are large, and hardly any domain needs them

        # What the mapping leaves out shows nothing, and came into the address by accident or to mislead.
        if not all(idna.uts46_remap(sign, std3_rules=True, transitional=False) for sign in address.domain):
            raise ValueError("a character that shows nothing")
        mapped = idna.uts46_remap(address.domain, std3_rules=True, transitional=False)
        labels = [label if label.isascii() else idna.alabel(label).decode("ascii") for label in mapped.split(".")]
    except ValueError as error:  # idna.IDNAError is one
        raise LocalError(
            f"the domain of {address} is no valid international domain name; check its spelling"
        ) from error
    domain = ".".join(labels)
    if not all(labels) or len(domain) > _DOMAIN_OCTETS:
        raise LocalError(
            f"the domain of {address} has an empty label, or is longer than 255 octets; check its spelling"
        )
    return Address(address.local, domain)


def write_mailbox(mailbox: Mailbox, *, utf8: bool = False, room: int = 75) -> list[str]:
    """The mailbox as tokens for ``fold``, its domain in A-labels without ``utf8``; ``room`` as for ``write_phrase``."""
    return [*write_phrase(mailbox.name, utf8=utf8, room=room), _spec(mailbox, utf8)]


def _spec(mailbox: Mailbox, utf8: bool) -> str:
    address = mailbox.address if utf8 else with_a_labels(mailbox.address)
    return f"<{address}>" if mailbox.name.strip() else str(address)


def write_phrase(name: str, *, utf8: bool = False, room: int = 75) -> list[str]:
    """A display name or another phrase as tokens for ``fold``, [] for an empty one.

    The name is written as atoms, else quoted, else as encoded words, the first of at most ``room`` characters; with
    ``utf8`` (RFC 6532) all scripts are quoted.  Runs of white space become one space, as readers show them.
    """
    name = " ".join(name.split())
    if not name:
        return []
    risky = len(name.encode()) > 60 or "=?" in name
    if not risky and re.fullmatch(_PHRASE, name):
        return name.split(" ")
    if not risky and (name.isascii() or utf8):
        return ['"' + re.sub(_NEEDS_ESCAPE, r"\\\1", name) + '"']
    return encoded_words(name, room)
