"""Date and identifiers that a message draws when it is made: the only clock and random source of ``message``.

A message is a value.  Its Date and Message-ID are drawn once, when it is made, and not when it is sent, so that all
attempts to send it have the same ones (tests/test_layers.py allows that in this module alone).
"""

from __future__ import annotations

from datetime import datetime
from os import urandom

__all__ = ["date_now", "unique_id"]


def date_now() -> datetime:
    """The time now in the local zone, as RFC 5322 §3.3 asks, in whole seconds."""
    return datetime.now().astimezone().replace(microsecond=0)


def unique_id(domain: str) -> str:
    """An identifier of 128 random bits at a domain, without angle brackets: a Message-ID (RFC 5322 §3.6.4) or a UID."""
    return f"{urandom(16).hex()}@{domain}"
