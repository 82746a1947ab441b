"""Leniency of a receiver: what it tolerates, and the reader of the addresses that the strict grammar refuses.

The strict parser is asked first, always.  Only a MAIL or RCPT that it refuses comes here, so a well-formed command
costs nothing more in a lenient session.  Each thing tolerated becomes a ``Remark`` with the strict reply.

Tolerated are deviations with one meaning:

    no-brackets     MAIL FROM:user@domain, MAIL FROM : <…>  (commands)
    misplaced-dot   a..b@domain, a.@domain                 (addresses) the local part is kept, and goes out quoted
    underscore      user@my_host.test                      (addresses)
    trailing-dot    user@domain.                           (addresses) the dot is dropped
    utf8-address    a UTF-8 address without SMTPUTF8       (addresses) as if MAIL had said SMTPUTF8, if the local part
                                                           needs it; a domain becomes A-labels
    no-domain       <root>, from trusted hosts             the receiver's own domain is added
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from posthouse.core import Address, Remark
from posthouse.protocol.commands import Command, Mail, Rcpt
from posthouse.protocol.grammar import (
    GrammarError,
    domain_to_ascii,
    has_controls,
    parse_domain,
    parse_literal,
    parse_mailbox,
    with_ascii_domain,
    without_route,
)
from posthouse.protocol.limits import Limits
from posthouse.protocol.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, parse_parameters
from posthouse.protocol.parsing import CommandError

__all__ = ["LENIENT", "Leniency", "STRICT", "merged", "tolerant_mailbox", "tolerate", "utf8_tolerated"]


class Leniency(NamedTuple):
    """What a receiver tolerates: in the content, in addresses, in the form of MAIL and RCPT; and the ``domain`` that it
    adds to an address without one ("": such an address is refused)."""

    content: bool = False
    addresses: bool = False
    commands: bool = False
    domain: str = ""


STRICT: Final = Leniency()
#: All but what needs trust: a bare local part.
LENIENT: Final = Leniency(content=True, addresses=True, commands=True)

_MOST_SHOWN: Final = 200  # characters of a command in a remark
_ARGUMENT: Final = r"(?i:FROM|TO)( *+): *+(.*)"
# A path in brackets ends at the first ">" outside quotes and literals; one without ends at a space outside quotes.
_BRACKETS: Final = r'<((?:"(?:[^"\\]|\\.)*+"|\[[^\]]*+\]|[^"\[>])*+)>(?: (.*))?'
_BARE: Final = r'((?:"(?:[^"\\]|\\.)*+"|[^" <>])++)(?: (.*))?'
# Atoms and dots in any order, but not dots alone.
_DOTTED: Final = r'(?=[^@]*[^.@])[^\x00-\x20"(),:;<>@\[\\\]\x7f-\x9f]++'


_Tolerated = Callable[[str, bool], None]


class _NotTolerated(Exception):
    """The address cannot be tolerated."""


def tolerate(
    line: bytes, refusal: CommandError, accepts: frozenset[str], limits: Limits, leniency: Leniency
) -> tuple[Command, list[Remark]] | None:
    """The command in a line that the strict parser refused, and what was tolerated in it; None if it stays refused."""
    verb = refusal.verb
    if verb not in ("MAIL", "RCPT"):
        return None
    _, _, rest = line.rstrip(b" \t").partition(b" ")
    try:
        argument = rest.decode().strip(" ")
    except UnicodeDecodeError:
        return None
    found = re.fullmatch(_ARGUMENT, argument)
    if found is None or has_controls(argument) or (argument[:1] in "Ff") is not (verb == "MAIL"):
        return None
    shown = f"{verb} {argument}"[:_MOST_SHOWN]
    remarks: list[Remark] = []

    def tolerated(kind: str, allowed: bool) -> None:
        if not allowed:
            raise _NotTolerated
        remarks.append(Remark(kind, str(refusal.reply), command=shown))

    try:
        if found[1]:  # a space before the colon
            tolerated("no-brackets", leniency.commands)
        path = re.fullmatch(_BRACKETS, found[2])
        if path is None:
            path = re.fullmatch(_BARE, found[2])
            if path is None:
                return None
            tolerated("no-brackets", leniency.commands)
        written = path[1].strip(" ")
        if written != path[1]:
            tolerated("no-brackets", leniency.commands)
        table = MAIL_PARAMETERS if verb == "MAIL" else RCPT_PARAMETERS
        fields = parse_parameters(path[2], table, accepts) if path[2] else {}
        if len(written.encode()) > limits.path - 2:
            return None
        mailbox = without_route(written, limits) if written.startswith("@") else written
        address = _address(mailbox, limits, leniency, tolerated)
        if not address.is_ascii and "smtputf8" not in fields and verb == "MAIL":
            tolerated("utf8-address", leniency.addresses and "SMTPUTF8" in accepts)
            address = with_ascii_domain(address)
            if not address.is_ascii:
                fields["smtputf8"] = True
    except (GrammarError, _NotTolerated):
        return None
    if not remarks:  # nothing is tolerated in silence
        return None
    if verb == "MAIL":
        return (Mail(address, **fields), remarks) if address.domain else None
    return Rcpt(address, **fields), remarks


def _address(written: str, limits: Limits, leniency: Leniency, tolerated: _Tolerated) -> Address:
    if written.startswith('"'):
        end = written.rfind("@")
        local = parse_mailbox(f"{written[:end]}@domain.test", limits).local
        at, domain = written[end : end + 1], written[end + 1 :]
    else:
        local, at, domain = written.partition("@")
        try:
            parse_mailbox(f"{local}@domain.test", limits)
        except GrammarError:
            if re.fullmatch(_DOTTED, local) is None or len(local.encode()) > limits.local_part:
                raise
            tolerated("misplaced-dot", leniency.addresses)
    if not at:
        if local.lower() == "postmaster" and not leniency.domain:
            return Address(local)
        tolerated("no-domain", bool(leniency.domain))
        return Address(local, leniency.domain)
    return Address(local, _domain(domain, limits, leniency, tolerated))


def _domain(domain: str, limits: Limits, leniency: Leniency, tolerated: _Tolerated) -> str:
    if domain.startswith("["):
        return parse_literal(domain, limits)
    if domain.endswith(".") and len(domain) > 1:
        tolerated("trailing-dot", leniency.addresses)
        domain = domain[:-1]
    if "_" in domain:
        parse_domain(domain.replace("_", "0"), limits)
        tolerated("underscore", leniency.addresses)
        return domain.lower() if domain.isascii() else domain_to_ascii(domain)
    return parse_domain(domain, limits)


def tolerant_mailbox(text: str) -> Address:
    """A mailbox as ``parse_mailbox`` reads it, or as a lenient receiver does.  Raises the strict ``GrammarError``."""
    try:
        return parse_mailbox(text)
    except GrammarError as error:
        limits = Limits()
        if "@" in text and len(text.encode()) <= limits.path - 2:
            with contextlib.suppress(GrammarError):
                return _address(text, limits, LENIENT, lambda kind, allowed: None)
        raise error


def utf8_tolerated(command: Rcpt, reply: str) -> tuple[Rcpt, Remark]:
    """A recipient that is not ASCII in a transaction whose MAIL did not say SMTPUTF8: its domain in A-labels, if that
    is not too long."""
    address = command.address
    bare = address
    with contextlib.suppress(GrammarError):
        bare = with_ascii_domain(address)
    remark = Remark("utf8-address", reply, command=f"RCPT TO:<{address}>"[:_MOST_SHOWN])
    return Rcpt(bare, command.notify, command.orcpt), remark


def merged(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """One remark of each kind: the first, with the number of all."""
    found: dict[str, Remark] = {}
    for each in remarks:
        first = found.get(each.kind)
        found[each.kind] = each if first is None else first._replace(times=first.times + each.times)
    return tuple(sorted(found.values(), key=lambda each: each.line))
