"""Spellings of addresses in internationalized domains: U-labels, as people write them, and A-labels (RFC 5890)."""

from __future__ import annotations

import re

from posthouse.core import local_key
from posthouse.protocol.grammar import GrammarError, domain_to_ascii, domain_to_unicode

__all__ = ["as_written", "inbox_name", "other_spelling", "text_as_written"]

_A_LABELS = re.compile(r"(?:[a-z0-9-]+\.)*xn--[a-z0-9-]+(?:\.[a-z0-9-]+)*")


def as_written(address: str) -> str:
    """The address, or the domain, with its A-labels as U-labels, as people write it."""
    if "xn--" not in address:
        return address
    local, sign, domain = address.rpartition("@")
    try:
        return f"{local}{sign}{domain_to_unicode(domain)}"
    except GrammarError:
        return address


def text_as_written(text: str) -> str:
    """A sentence with the A-labels of the domains in it as U-labels."""
    return _A_LABELS.sub(lambda found: as_written(found[0]), text) if "xn--" in text else text


def other_spelling(address: str) -> str:
    """The address with its domain in the other spelling; unchanged if there is none."""
    written = as_written(address)
    if written != address:
        return written
    return _in_a_labels(address)


def inbox_name(address: str) -> str:
    """The name of an inbox as the spool has it: lower case and composed (NFC), with the domain in A-labels."""
    return _in_a_labels(local_key(address.strip().removeprefix("<").removesuffix(">")))


def _in_a_labels(address: str) -> str:
    local, sign, domain = address.rpartition("@")
    if not sign or domain.isascii():
        return address
    try:
        return f"{local}{sign}{domain_to_ascii(domain)}"
    except GrammarError:
        return address
