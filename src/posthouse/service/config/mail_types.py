"""Types of settings about mail: domains, mailboxes, deliveries and routes, beside the general ones of ``config.types``.

Domains are kept in A-labels and lower case (IDNA2008).  Local parts of this server's domains are case-folded, because
case does not matter in them; local parts of other domains stay as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from posthouse.core import Address, local_key
from posthouse.protocol.grammar import GrammarError, domain_to_ascii, parse_mailbox
from posthouse.service.config.types import (
    InvalidValue,
    SettingType,
    expanded,
    host_port,
    list_of,
    quoted,
    several,
    shown,
    text_of,
)

__all__ = [
    "ADDRESS",
    "ADDRESSES",
    "ALIASES",
    "DELIVERY",
    "DeliverySetting",
    "FILE_MODE",
    "HOSTNAME",
    "LOCAL_KEYS",
    "LOCAL_PARTS",
    "MAILBOXES",
    "MOVED",
    "OUR_DOMAIN",
    "OWNER",
    "PATTERN",
    "SPOOL_URL",
    "STRICTNESS",
    "SUBADDRESS",
    "VIA",
    "ViaSetting",
    "without_tag",
]

_LATER = "is not available in this version"
_OWNER = re.compile(r"(?:[a-z_][a-z0-9_.-]*\$?|[0-9]{1,10})(?::(?:[a-z_][a-z0-9_.-]*\$?|[0-9]{1,10}))?", re.IGNORECASE)
_HANDLER = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class DeliverySetting(NamedTuple):
    """Where a domain's mail is delivered: ``kind`` is mailbox, discard, maildir, lmtp, smtp or python; ``target`` is a
    path for maildir, ``host:port`` or a socket's path for lmtp, ``host:port`` for smtp, ``module:object``."""

    kind: str
    target: str = ""

    def __str__(self) -> str:
        return _spelled(self.kind, self.target)


class ViaSetting(NamedTuple):
    """Where a route leads: ``kind`` is mx, smtp, smtps (TLS from the first octet), smtp+starttls or lmtp; ``target`` as
    for ``DeliverySetting``."""

    kind: str
    target: str = ""

    def __str__(self) -> str:
        return _spelled(self.kind, self.target)


def _spelled(kind: str, target: str) -> str:
    if not target:
        return kind
    slashes = "" if kind in ("maildir", "python") or target.startswith("/") else "//"
    return f"{kind}:{slashes}{target}"


def _domain(text: str) -> str:
    """A domain in A-labels and lower case."""
    remedy = 'write a domain name like "example.org"'
    try:
        name = domain_to_ascii(text.rstrip("."))
    except GrammarError:
        raise InvalidValue(f"{quoted(text)} is no domain name", remedy) from None
    if name.startswith("["):
        raise InvalidValue(f"{quoted(text)} is an address, not a name", remedy)
    return name


def _read_hostname(raw: object) -> str:
    return _domain(text_of(raw).strip())


def _read_our_domain(raw: object) -> str:
    text = text_of(raw).strip()
    return text if text == "*" else _domain(text)


def _read_pattern(raw: object) -> str:
    text = text_of(raw).strip()
    if text == "*":
        return text
    return "*." + _domain(text[2:]) if text.startswith("*.") else _domain(text)


def _read_local(raw: object) -> str:
    """A local part of a domain of this server, in quotes where RFC 5321 requires them; it may end with ``@``."""
    text = text_of(raw).strip().removesuffix("@")
    return local_key(_mailbox(f"{text}@example.org", raw, 'write the part before the "@" only, like "bob"').local)


def without_tag(local: str, separator: str) -> str:
    """The local part in front of its tag: ``bob`` for ``bob+news`` where ``separator`` is ``+``.  What has no tag, or
    nothing in front of it, is given back as it is."""
    if not separator:
        return local
    base, found, _ = local.partition(separator)
    return base if found and base else local


def _read_subaddress(raw: object) -> str:
    text = text_of(raw)
    if len(text) > 1 or text.isalnum() or text in ("@", ".", '"', " ", "\\"):
        raise InvalidValue(
            f"{quoted(text)} cannot separate a name from its tag", 'write one character, "+" or "-"; "" for no tags'
        )
    return text


def _mailbox(text: str, raw: object, remedy: str) -> Address:
    try:
        return parse_mailbox(text)
    except GrammarError:
        raise InvalidValue(f"{shown(raw)} is no mailbox", remedy) from None


def _read_address(raw: object) -> str:
    """An address, or a bare local part of the domain around it."""
    text = text_of(raw).strip().removesuffix("@")
    _mailbox(text if "@" in text else f"{text}@example.org", raw, 'write "bob" or "bob@example.org"')
    return text


def _read_addresses(raw: object) -> tuple[str, ...]:
    addresses: tuple[str, ...] = several(_read_address)(raw if isinstance(raw, list) else [raw])
    if not addresses:
        raise InvalidValue("no address is given", "write at least one address")
    return addresses


def _read_mailboxes(raw: object) -> tuple[str, ...]:
    if raw in ("any", ["any"]):
        return ("any",)
    if not isinstance(raw, list):
        raise InvalidValue(f"{shown(raw)} is neither a list nor any", 'write ["bob", "ann"] or "any"')
    names: tuple[str, ...] = several(_read_local)(raw)
    return names


def _by_local(read: Callable[[object], Any], *, tables: bool = False) -> Callable[[object], dict[str, Any]]:
    def read_table(raw: object) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise InvalidValue(f"{shown(raw)} is not a table", "write it like { bob = … }")
        values: dict[str, Any] = {}
        faults = []
        for key, item in raw.items():
            try:
                name = _read_local(key)
                if name in values:
                    raise InvalidValue(
                        "the same name stands there twice", "case does not matter in local parts: keep one"
                    )
                if isinstance(item, dict) and not tables:  # TOML reads a dot in a key as the beginning of a table
                    inner = next(iter(item), "")
                    remedy = f'a name with a dot or a character beyond ASCII is quoted: "{key}.{inner}" = …'
                    raise InvalidValue("a table is not an address", remedy)
                values[name] = read(item)
            except InvalidValue as wrong:
                faults += [InvalidValue(each.cause, each.remedy, f".{key}{each.place}") for each in wrong.each()]
        if faults:
            raise InvalidValue.together(faults)
        return values

    return read_table


def _write_table(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda table: "{" + ", ".join(f"{key} = {write(value)}" for key, value in table.items()) + "}"


HOSTNAME = SettingType("domain name", _read_hostname, quoted)
OUR_DOMAIN = SettingType('domain name or "*"', _read_our_domain, quoted)
PATTERN = SettingType("pattern of domains", _read_pattern, quoted)
ADDRESS = SettingType("mailbox", _read_address, quoted)
ADDRESSES = SettingType("list of mailboxes", _read_addresses, list_of(quoted))
LOCAL_PARTS = SettingType("list of local parts", several(_read_local), list_of(quoted))
MAILBOXES = SettingType(
    'list of local parts, or "any"',
    _read_mailboxes,
    lambda value: "" if value is None else '"any"' if value == ("any",) else list_of(quoted)(value),
)
ALIASES = SettingType(
    "table: local part = list of mailboxes", _by_local(_read_addresses), _write_table(list_of(quoted))
)
MOVED = SettingType("table: local part = mailbox", _by_local(_read_address), _write_table(quoted))
#: The values are tables with settings of their own, which ``config.decode`` reads; this reads the keys.
LOCAL_KEYS = SettingType("table: local part = list", _by_local(lambda value: value, tables=True), _write_table(str))

# Routes and deliveries ----------------------------------------------------------------------------------------------


#: Ports of the ways to send to a chosen host, where none is written.
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


def _target(text: str, default_port: int, remedy: str) -> str:
    """The target of ``scheme://host[:port]`` or ``scheme:/socket``; ``text`` is what follows the first colon.

    A socket may also be written with three slashes, as in other URLs.
    """
    if text.startswith("///"):
        text = text[2:]
    if text.startswith("/") and not text.startswith("//"):
        return text
    rest = text.removeprefix("//").rstrip("/")
    if "@" in rest:
        raise InvalidValue("a user name and password do not stand in the address", "write user and password_file")
    endpoint = host_port(rest, remedy, default_port=default_port)
    if endpoint.is_path or not endpoint.port:
        raise InvalidValue(f"{quoted(rest)} cannot be reached", remedy)
    return str(endpoint)


def _read_delivery(raw: object) -> DeliverySetting:
    remedy = (
        'write "mailbox", "discard", "maildir:/path/{domain}/{local}", "lmtp://host:port", "smtp://host:port" or '
        '"python:module:object"'
    )
    text = text_of(raw).strip()
    kind, colon, rest = text.partition(":")
    if kind in ("mailbox", "discard") and not colon:
        return DeliverySetting(kind)
    if kind == "maildir" and rest:
        _check_maildir(rest)
        return DeliverySetting(kind, expanded(rest))
    if kind == "lmtp" and rest:
        return DeliverySetting(kind, _target(rest, 24, remedy))
    if kind == "smtp" and rest.startswith("//"):
        return DeliverySetting(kind, _target(rest, 25, remedy))
    if kind == "python":
        if _HANDLER.fullmatch(rest) is None:
            raise InvalidValue(
                f"{quoted(text)} does not name a module and an object in it", 'write "python:my.module:handle"'
            )
        return DeliverySetting(kind, rest)
    if kind in ("smtps", "lmtps"):
        raise InvalidValue(f'delivery by "{kind}:" {_LATER}', remedy)
    raise InvalidValue(f"{quoted(text)} is no delivery", remedy)


def _check_maildir(path: str) -> None:
    known = {"domain", "local"}
    for name in re.findall(r"\{([^{}]*)\}", path):
        if name not in known:
            raise InvalidValue(f"the path asks for {{{name}}}, which is not known", "only {domain} and {local} are")
    if re.sub(r"\{(?:domain|local)\}", "", path).count("{") or re.sub(r"\{(?:domain|local)\}", "", path).count("}"):
        raise InvalidValue("the path has a brace that stands alone", "only {domain} and {local} may have braces")
    if "{local}" not in path:
        raise InvalidValue("every mailbox of the domain would share one Maildir", 'put "{local}" into the path')


def _read_via(raw: object) -> ViaSetting:
    remedy = 'write "mx", "smtp://host:port", "smtps://host", "smtp+starttls://host" or "lmtp://host:port"'
    text = text_of(raw).strip()
    kind, _, rest = text.partition(":")
    if text == "mx":
        return ViaSetting("mx")
    if kind in _PORTS and rest.startswith("//"):
        return ViaSetting(kind, _target(rest, _PORTS[kind], remedy))
    if kind == "lmtp" and rest:
        return ViaSetting("lmtp", _target(rest, 24, remedy))
    raise InvalidValue(f"{quoted(text)} is no route", remedy)


def _read_spool_url(raw: object) -> str:
    text = text_of(raw).strip()
    if text.startswith(("postgresql://", "postgres://")):
        raise InvalidValue(f"a spool in PostgreSQL {_LATER}", 'write "sqlite"')
    if text != "sqlite":
        raise InvalidValue(f"{quoted(text)} is no spool", 'write "sqlite"')
    return text


def _read_mode(raw: object) -> int:
    remedy = 'write "0600" (the owner only) or "0660" (the group too), in quotes'
    text = text_of(raw).strip()
    if re.fullmatch(r"0?o?[0-7]{3}", text) is None:
        raise InvalidValue(f"{quoted(text)} is no mode of a file", remedy)
    mode = int(text[-3:], 8)
    if mode & 0o600 != 0o600 or mode & 0o113:
        raise InvalidValue(
            f"with the mode {text[-3:]} files are not readable and writable by their owner, or anybody may execute or "
            "change them",
            remedy,
        )
    return mode


def _read_owner(raw: object) -> str:
    text = text_of(raw).strip()
    if text and _OWNER.fullmatch(text) is None:
        raise InvalidValue(f"{quoted(text)} names no user", 'write "user" or "user:group"')
    return text


def _read_strictness(raw: object) -> str:
    if raw not in ("strict", "lenient"):
        raise InvalidValue(f"{shown(raw)} is not one of the choices", 'write "strict" or "lenient"')
    return str(raw)


FILE_MODE = SettingType("mode in octal digits", _read_mode, lambda mode: f'"{mode:04o}"')
OWNER = SettingType("user, or user:group", _read_owner, quoted)
DELIVERY = SettingType("way to deliver", _read_delivery, quoted)
VIA = SettingType("way to send", _read_via, quoted)
SUBADDRESS = SettingType("one character", _read_subaddress, quoted)
SPOOL_URL = SettingType("spool", _read_spool_url, quoted)
#: "" where the listener's kind decides.
STRICTNESS = SettingType('"strict" or "lenient"', _read_strictness, lambda value: quoted(value) if value else "")
