"""Mailboxes as a caller of ``Message`` gives them: one text is a list, an item of a sequence is one mailbox."""

from __future__ import annotations

from collections.abc import Iterable

from posthouse.core import Address, LocalError
from posthouse.message.mailboxes import Mailbox, parse_mailboxes

__all__ = ["Addressee", "Addressees", "given_mailboxes", "one_mailbox"]

#: One mailbox: ``"Ann <ann@x.example>"``, ``Address("ann", "x.example")``, ``Address("Ann", "ann@x.example")``,
#: ``("Ann", "ann@x.example")``, or one that ``posthouse.read`` gave: its name, address and group.
Addressee = str | Address | Mailbox | tuple[str, str | Address] | tuple[str, Address | None, str]
#: One mailbox, a text with several that commas separate, an iterable of single ones, or None for none.
Addressees = Addressee | Iterable[Addressee] | None


def given_mailboxes(given: Addressees, what: str) -> tuple[Mailbox, ...]:
    """The mailboxes in their order, none for None; ``what`` names the field in errors.

    Raises ``LocalError`` for what is no mailbox, and for a list within an item of a sequence.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return tuple(parse_mailboxes(given, what))
    if isinstance(given, Address) or _is_pair(given):
        return (one_mailbox(given, what),)
    if not isinstance(given, Iterable):
        raise LocalError(
            f"{what} is of the type {type(given).__name__}; give a text such as 'Ann <ann@x.example>', an Address, or "
            "a list of these"
        )
    return tuple(one_mailbox(each, what) for each in given)


def _is_pair(given: object) -> bool:
    """Whether a value is one mailbox in parts: a name with an ``Address``, or with whatever a reader found."""
    if not isinstance(given, tuple) or not 2 <= len(given) <= 3 or not isinstance(given[0], str):
        return False
    return isinstance(given[1], Address) or (len(given) == 3 and given[1] is None)


def one_mailbox(given: object, what: str) -> Mailbox:
    """Exactly one mailbox.  Raises ``LocalError`` for none and for several."""
    if isinstance(given, str):
        found = parse_mailboxes(given, what)
        if len(found) == 1:
            return found[0]
        raise LocalError(
            f"{what} has an item that is {'empty' if not found else 'a list of mailboxes'}: {given!r}; give one "
            "mailbox in each item, with quotation marks around a name that has a comma"
        )
    if isinstance(given, Address):
        if "@" in given.domain:  # a display name and an address in one text
            return _named(given.local, given.domain, what)
        return parse_mailboxes(given, what)[0]
    if isinstance(given, tuple) and 2 <= len(given) <= 3 and isinstance(given[0], str):
        if isinstance(given[1], Address):
            return parse_mailboxes((given[0], given[1]), what)[0]
        if isinstance(given[1], str):
            return _named(given[0], given[1], what)
        if given[1] is None:
            raise LocalError(f"{what} has a mailbox without an address: {given[0]!r}; give its address")
    raise LocalError(
        f"{what} has an item of the type {type(given).__name__}; give a text such as 'Ann <ann@x.example>', or an "
        "Address"
    )


def _named(name: str, spec: str, what: str) -> Mailbox:
    """A mailbox of a display name and the text of an address."""
    found = parse_mailboxes(spec, what)
    if len(found) != 1 or found[0].name or "<" in spec:
        raise LocalError(f"{what} has {spec!r} in the place of an address; write it as name@domain")
    return parse_mailboxes((name, found[0].address), what)[0]
